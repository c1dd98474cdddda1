"""The monitor: what changed is told once over all daemons and restarts, and never lost."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from structlog.testing import capture_logs

from stocksync.changes import Kind, Phase
from stocksync.circuit import Kind as Brought
from stocksync.circuit import Seen
from stocksync.circuits import Circuits
from stocksync.database import Database
from stocksync.model import DatabaseUnavailable, Refused
from stocksync.monitor import Monitor
from stocksync.operations import Operations
from stocksync.store import Store
from stocksync.verdict import Limits
from tests.outbox import ACCOUNT, OTHER_ACCOUNT, Outbox, account
from tests.settling import DONE, REFUSED, claim, settle
from tests.test_query_plans import pages_in

LIMITS = Limits(max_pending=1000)
NOW = datetime(2026, 3, 2, 6, 30, tzinfo=UTC)
BEGAN, LASTS, ENDED, HAPPENED = Phase.BEGAN, Phase.LASTS, Phase.ENDED, Phase.HAPPENED


@pytest.fixture
def circuits(database: Database) -> Circuits:
    return Circuits(database=database, failures=5)


@pytest.fixture
async def other_database(dsn: str) -> AsyncIterator[Database]:
    """Another daemon's."""
    async with Database(url=dsn) as database:
        yield database


@pytest.fixture
async def another(dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Somebody who locks tables."""
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close()


def monitor(database: Database, **settings: Any) -> Monitor:  # noqa: ANN401 - the monitor's own
    """A monitor that knows nothing but what the database remembers."""
    given: dict[str, Any] = {
        "limits": LIMITS,
        "repeat_minutes": 30,
        "alert_on_failed": True,
        "auto_fix_hours": 24,
        "is_telling": True,
        "on_change": lambda: None,
    }
    return Monitor(database=database, operations=Operations(database=database), **given | settings)


@dataclass
class Told:
    """What was told so far, read as delivery does."""

    connection: "asyncpg.Connection[asyncpg.Record]"

    async def all(self) -> list[tuple[Kind, Phase]]:
        rows = await self.connection.fetch("SELECT kind, phase FROM stock_sync_changes ORDER BY id")
        return [(Kind(row["kind"]), Phase(row["phase"])) for row in rows]

    async def facts(self) -> list[dict[str, Any]]:
        rows = await self.connection.fetch("SELECT facts FROM stock_sync_changes ORDER BY id")
        return [json.loads(row["facts"]) for row in rows]


@pytest.fixture
def told(outbox: Outbox) -> Told:
    return Told(outbox.connection)


async def pass_time(outbox: Outbox, minutes: int) -> None:
    """Move time instead of waiting: all that was, was so much earlier."""
    for table, columns in {
        "pending_stock_operations": ("next_retry_at", "created_at", "completed_at"),
        "stock_sync_circuits": ("opened_at", "paused_until"),
        "stock_sync_conditions": ("since", "told_at", "ended_at"),
        "stock_sync_daemons": ("started_at", "settled_at"),
        "stock_sync_events": ("at",),
    }.items():
        earlier = ", ".join(f"{c} = {c} - $1 * interval '1 minute'" for c in columns)
        await outbox.connection.execute(f"UPDATE {table} SET {earlier}", minutes)
    await outbox.connection.execute(
        "UPDATE stock_sync_conditions c SET details = jsonb_set(details, '{spans}', coalesce(("
        " SELECT jsonb_agg(jsonb_build_array("
        "   (s.span ->> 0)::timestamptz - $1 * interval '1 minute',"
        "   (s.span ->> 1)::timestamptz - $1 * interval '1 minute'))"
        " FROM jsonb_array_elements(c.details -> 'spans') s (span)), '[]'))"
        " WHERE details ? 'spans'",
        minutes,
    )
    rows = await outbox.connection.fetch("DELETE FROM stock_sync_minutes RETURNING *")
    for row in rows:
        await outbox.connection.execute(
            "INSERT INTO stock_sync_minutes (minute, attempts, unproven)"
            " VALUES ($1::timestamptz - $2 * interval '1 minute', $3, $4)",
            row["minute"],
            minutes,
            row["attempts"],
            row["unproven"],
        )


async def attempt(outbox: Outbox, attempts: int, unproven: int) -> None:
    """Attempts of this minute, as daemons tell them."""
    await outbox.connection.execute(
        "INSERT INTO stock_sync_minutes AS m (minute, attempts, unproven)"
        " VALUES (date_trunc('minute', now()), $1, $2) ON CONFLICT (minute) DO UPDATE"
        " SET attempts = m.attempts + $1, unproven = m.unproven + $2",
        attempts,
        unproven,
    )


async def fail(circuits: Circuits) -> None:
    """The service answers nobody any more."""
    await circuits.feed(
        [
            Seen(account=ACCOUNT, order=f"f-{n}", kind=Brought.FAILED, reason="refused")
            for n in range(5)
        ]
    )


async def refuse(circuits: Circuits, token_id: str) -> None:
    """The service does not know this account's token any more, and others' it does."""
    kinds = [Brought.TOKEN] * 5
    await circuits.feed(
        [
            Seen(account=token_id, order=f"t-{n}", kind=kind, reason="Токен not found")
            for n, kind in enumerate(kinds)
        ]
    )


async def prove(circuits: Circuits, token_id: str = ACCOUNT) -> None:
    await circuits.feed([Seen(account=token_id, order="proven", kind=Brought.PROVEN)])


async def pile_up(outbox: Outbox, count: int, token_id: str = ACCOUNT) -> None:
    """Rows that have been due for longer than a burst takes."""
    await outbox.insert_orders(count, token_id=token_id)
    await outbox.connection.execute(
        "UPDATE pending_stock_operations SET next_retry_at = now() - interval '10 seconds'"
        " WHERE status = 'pending' AND next_retry_at > now() - interval '10 seconds'"
    )


async def push_all(store: Store) -> None:
    """Deliver all that is due."""
    while pushes := await claim(store, 500):
        await settle(store, pushes, DONE)


# --- an outage -----------------------------------------------------------------------------------


async def test_an_outage_with_2000_rows_is_two_messages_over_two_daemons_and_restarts(
    database: Database,
    other_database: Database,
    outbox: Outbox,
    circuits: Circuits,
    store: Store,
    told: Told,
) -> None:
    async def turn_of_each() -> None:
        # Nothing of a monitor lives longer than a turn: each is a restart.
        for each in (database, other_database, database):
            await monitor(each, repeat_minutes=600).run()

    await fail(circuits)
    await outbox.insert_orders(2000)
    await turn_of_each()
    # Long enough for stale rows and a failure rate, had it been told.
    await attempt(outbox, 40, 40)
    await pass_time(outbox, 8 * 60)
    await turn_of_each()
    await prove(circuits)
    await turn_of_each()
    pushes = await claim(store, 500)
    await settle(store, pushes)
    await attempt(outbox, 500, 0)
    await turn_of_each()
    await push_all(store)
    await attempt(outbox, 1500, 0)
    await turn_of_each()
    await pass_time(outbox, 60)
    await turn_of_each()

    assert await told.all() == [(Kind.OUTAGE, BEGAN), (Kind.OUTAGE, ENDED)]
    began, ended = await told.facts()
    assert began == {"reason": "refused", "waiting_rows": 2000}
    assert (ended["reason"], ended["waiting_rows"]) == ("refused", 2000)
    assert ended["seconds"] == pytest.approx(8 * 3600, abs=60)
    rows = await outbox.connection.fetch("SELECT * FROM stock_sync_conditions")
    assert rows == []


async def test_two_turns_at_once_tell_one_change(
    database: Database, other_database: Database, circuits: Circuits, told: Told
) -> None:
    await fail(circuits)
    turns = [monitor(each).run() for each in (database, other_database) for _ in range(3)]
    results = await asyncio.gather(*turns)
    assert await told.all() == [(Kind.OUTAGE, BEGAN)]
    assert sorted(result["changes"] for result in results) == [0, 0, 0, 0, 0, 1]


async def test_a_turn_that_is_broken_off_has_noticed_nothing_and_the_next_one_notices_all(
    database: Database, dsn: str, outbox: Outbox, circuits: Circuits, store: Store, told: Told
) -> None:
    await outbox.insert()
    await settle(store, await claim(store), REFUSED)
    await fail(circuits)
    await prove(circuits)
    lock = await asyncpg.connect(dsn)
    try:
        async with lock.transaction():
            # The turn has taken the events, and cannot store the change.
            await lock.execute("LOCK TABLE stock_sync_changes")
            turn = asyncio.create_task(monitor(database).run())
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            async with asyncio.timeout(30):
                while not await outbox.connection.fetchval(waiting):
                    assert not turn.done()
                    await asyncio.sleep(0.01)
            turn.cancel()
            with pytest.raises((asyncio.CancelledError, DatabaseUnavailable)):
                await turn
    finally:
        await lock.close()
    assert await told.all() == []
    await monitor(database).run()
    assert await told.all() == [(Kind.OUTAGE, ENDED), (Kind.FAILED, HAPPENED)]


async def test_an_outage_between_two_turns_is_one_message_with_its_length(
    database: Database, outbox: Outbox, circuits: Circuits, told: Told
) -> None:
    await monitor(database).run()
    await fail(circuits)
    await pass_time(outbox, 2)
    await prove(circuits)
    await monitor(database).run()
    await monitor(database).run()
    assert await told.all() == [(Kind.OUTAGE, ENDED)]
    [ended] = await told.facts()
    assert ended["reason"] == "refused"
    assert ended["seconds"] == pytest.approx(120, abs=30)


async def test_a_service_that_flaps_between_two_turns_is_one_outage(
    database: Database, circuits: Circuits, told: Told
) -> None:
    await fail(circuits)
    await monitor(database).run()
    for _ in range(3):
        await prove(circuits)
        await fail(circuits)
    await monitor(database).run()
    await prove(circuits)
    await monitor(database).run()
    assert await told.all() == [(Kind.OUTAGE, BEGAN), (Kind.OUTAGE, ENDED)]


async def test_an_outage_is_repeated_after_the_repeat_time_with_what_follows_from_it(
    database: Database, outbox: Outbox, circuits: Circuits, told: Told
) -> None:
    await fail(circuits)
    await outbox.insert_orders(1001)
    await monitor(database).run()
    await pass_time(outbox, 29)
    await monitor(database).run()
    assert await told.all() == [(Kind.OUTAGE, BEGAN)]
    await pass_time(outbox, 7 * 60)
    await monitor(database).run()
    await monitor(database).run()
    assert await told.all() == [(Kind.OUTAGE, BEGAN), (Kind.OUTAGE, LASTS)]
    lasts = (await told.facts())[-1]
    assert lasts["lines"] == {"backlog": 1001, "stale": 1001}
    assert (lasts["reason"], lasts["waiting_rows"], lasts["probes"]) == ("refused", 1001, 0)


async def test_failures_of_after_an_outage_are_told_and_those_of_the_outage_are_not(
    database: Database, outbox: Outbox, circuits: Circuits, told: Told
) -> None:
    await attempt(outbox, 60, 50)
    await fail(circuits)
    await monitor(database).run()
    await pass_time(outbox, 5)
    await prove(circuits)
    await monitor(database).run()
    await pass_time(outbox, 5)
    await monitor(database).run()
    assert await told.all() == [(Kind.OUTAGE, BEGAN), (Kind.OUTAGE, ENDED)]
    await attempt(outbox, 40, 10)
    await monitor(database).run()
    assert (await told.all())[2:] == [(Kind.FAILURE_RATE, BEGAN)]
    began = (await told.facts())[-1]
    assert (began["attempts"], began["unproven"], began["rate"]) == (40, 10, 0.25)


async def test_a_backlog_that_is_left_when_that_of_the_outage_is_gone_is_told(
    database: Database, outbox: Outbox, circuits: Circuits, store: Store, told: Told
) -> None:
    await fail(circuits)
    await outbox.insert_orders(1100)
    await monitor(database).run()
    await pass_time(outbox, 1)
    await prove(circuits)
    await monitor(database).run()
    await push_all(store)
    await pass_time(outbox, 1)
    await pile_up(outbox, 1200)
    await monitor(database).run()
    expected = [(Kind.OUTAGE, BEGAN), (Kind.OUTAGE, ENDED), (Kind.BACKLOG, BEGAN)]
    assert await told.all() == expected
    await push_all(store)
    await monitor(database).run()
    assert await told.all() == [*expected, (Kind.BACKLOG, ENDED)]


# --- accounts and pauses -------------------------------------------------------------------------


async def test_a_parked_accounts_backlog_is_its_own_and_anothers_is_told(
    database: Database, outbox: Outbox, circuits: Circuits, store: Store, told: Told
) -> None:
    await prove(circuits)
    await refuse(circuits, ACCOUNT)
    await outbox.insert_orders(1500)
    await monitor(database).run()
    assert await told.all() == [(Kind.PARKED, BEGAN)]
    await pile_up(outbox, 1100, OTHER_ACCOUNT)
    await monitor(database).run()
    assert await told.all() == [(Kind.PARKED, BEGAN), (Kind.BACKLOG, BEGAN)]
    parked, backlog = await told.facts()
    assert parked == {"reason": "Токен not found", "waiting_rows": 1500}
    assert backlog["pending"] == 1100
    await push_all(store)
    await monitor(database).run()
    await pass_time(outbox, 1)
    await prove(circuits, ACCOUNT)
    await monitor(database).run()
    await push_all(store)
    await monitor(database).run()
    assert (await told.all())[2:] == [(Kind.BACKLOG, ENDED), (Kind.PARKED, ENDED)]
    assert (await told.facts())[-1]["waiting_rows"] == 1500


async def test_what_an_account_gathers_after_it_is_back_is_a_backlog_like_any_other(
    database: Database, outbox: Outbox, circuits: Circuits, told: Told
) -> None:
    await prove(circuits)
    await refuse(circuits, ACCOUNT)
    await outbox.insert_orders(3)
    await monitor(database).run()
    await pass_time(outbox, 1)
    await prove(circuits, ACCOUNT)
    await monitor(database).run()
    await pass_time(outbox, 1)
    await pile_up(outbox, 1100)
    await monitor(database).run()
    expected = [(Kind.PARKED, BEGAN), (Kind.PARKED, ENDED), (Kind.BACKLOG, BEGAN)]
    assert await told.all() == expected
    assert (await told.facts())[-1]["pending"] == 1100


async def test_what_a_parked_account_holds_up_is_not_left_over_from_an_outage(
    database: Database, outbox: Outbox, circuits: Circuits, told: Told
) -> None:
    await prove(circuits)
    await refuse(circuits, ACCOUNT)
    await outbox.insert_orders(5)
    await pass_time(outbox, 10)
    await fail(circuits)
    await monitor(database).run()
    await pass_time(outbox, 1)
    await prove(circuits, OTHER_ACCOUNT)
    await monitor(database).run()
    await pass_time(outbox, 1)
    await pile_up(outbox, 1100, OTHER_ACCOUNT)
    await monitor(database).run()
    assert (await told.all())[-2:] == [(Kind.OUTAGE, ENDED), (Kind.BACKLOG, BEGAN)]
    outage, parked = (await told.facts())[:2]
    assert (outage["waiting_rows"], parked["waiting_rows"]) == (0, 5)


async def test_an_account_parked_by_the_loss_of_the_services_database_waits_for_the_service(
    database: Database, outbox: Outbox, circuits: Circuits, store: Store, told: Told
) -> None:
    await prove(circuits)
    await refuse(circuits, ACCOUNT)
    await fail(circuits)
    await outbox.insert_orders(1200)
    await monitor(database).run()
    await pass_time(outbox, 1)
    await prove(circuits, OTHER_ACCOUNT)
    await monitor(database).run()
    await prove(circuits, ACCOUNT)
    await monitor(database).run()
    await push_all(store)
    await monitor(database).run()
    assert await told.all() == [(Kind.OUTAGE, BEGAN), (Kind.OUTAGE, ENDED)]
    assert [each["waiting_rows"] for each in await told.facts()] == [1200, 1200]


async def test_each_parked_account_is_told_by_itself(
    database: Database, outbox: Outbox, circuits: Circuits
) -> None:
    for number in (1, 2):
        await prove(circuits, account(9))
        await refuse(circuits, account(number))
    await monitor(database).run()
    rows = await outbox.connection.fetch(
        "SELECT token_id FROM stock_sync_changes WHERE kind = 'parked' AND phase = 'began'"
    )
    assert [row["token_id"] for row in rows] == [account(1), account(2)]


async def test_a_pause_and_what_waits_for_it_are_not_told(
    database: Database, outbox: Outbox, circuits: Circuits, store: Store, told: Told
) -> None:
    await circuits.pause(minutes=24 * 60, by="anna@desk")
    await outbox.insert_orders(1500)
    await monitor(database).run()
    await pass_time(outbox, 8 * 60)
    await monitor(database).run()
    await circuits.resume()
    await monitor(database).run()
    await push_all(store)
    await monitor(database).run()
    assert await told.all() == []
    assert await outbox.connection.fetchval("SELECT count(*) FROM stock_sync_conditions") == 0


# --- by itself -----------------------------------------------------------------------------------


async def test_stale_rows_are_told_with_examples_repeated_and_ended(
    database: Database, outbox: Outbox, store: Store, told: Told
) -> None:
    oldest = await outbox.insert("order-0")
    await pass_time(outbox, 60)
    await outbox.insert_orders(8)
    await pass_time(outbox, 7 * 60)
    await monitor(database).run()
    await monitor(database).run()
    assert await told.all() == [(Kind.STALE, BEGAN)]
    [began] = await told.facts()
    assert (began["count"], began["hours"], len(began["examples"])) == (9, 6, 5)
    created_at = (await outbox.row(oldest))["created_at"].isoformat()
    assert began["examples"][0] == {
        "operation_id": str(oldest),
        "token_id": ACCOUNT,
        "order_id": "order-0",
        "created_at": created_at,
        "error": None,
    }
    await pass_time(outbox, 30)
    await monitor(database).run()
    await push_all(store)
    await monitor(database).run()
    assert await told.all() == [(Kind.STALE, BEGAN), (Kind.STALE, LASTS), (Kind.STALE, ENDED)]


async def daemon_lives(outbox: Outbox) -> None:
    await outbox.connection.execute(
        "INSERT INTO stock_sync_daemons (id, host, pid, version)"
        " VALUES (gen_random_uuid(), 'a', 1, '1')"
    )


async def test_delivery_that_stands_still_is_told_but_not_of_a_daemon_that_only_began(
    database: Database, outbox: Outbox, store: Store, told: Told
) -> None:
    await outbox.insert()
    await pass_time(outbox, 10)
    await daemon_lives(outbox)
    await monitor(database).run()
    assert await told.all() == []
    await pass_time(outbox, 3)
    await monitor(database).run()
    assert await told.all() == [(Kind.STALLED, BEGAN)]
    [began] = await told.facts()
    assert began["due_rows"] == 1
    assert "nothing was settled" in began["reasons"][0]
    await push_all(store)
    await monitor(database).run()
    assert await told.all() == [(Kind.STALLED, BEGAN), (Kind.STALLED, ENDED)]


async def test_starting_and_stopping_daemons_is_not_told(
    database: Database, outbox: Outbox, told: Told
) -> None:
    await daemon_lives(outbox)
    await monitor(database).run()
    await outbox.connection.execute("DELETE FROM stock_sync_daemons")
    await monitor(database).run()
    assert await told.all() == []


# --- what happens --------------------------------------------------------------------------------


UNPROCESSABLE = "422 refused: token_id: not a UUID"


async def fail_for_good(outbox: Outbox, store: Store, count: int, token_id: str) -> list[UUID]:
    ids = [await outbox.insert(f"order-{n}", token_id) for n in range(count)]
    await settle(store, await claim(store), Refused(reason=UNPROCESSABLE, http_status=422))
    return ids


async def test_rows_that_failed_for_good_are_one_change_of_a_turn_also_in_an_outage(
    database: Database, outbox: Outbox, circuits: Circuits, store: Store, told: Told
) -> None:
    first = await fail_for_good(outbox, store, 1, ACCOUNT)
    await monitor(database).run()
    many = await fail_for_good(outbox, store, 7, OTHER_ACCOUNT)
    one = await fail_for_good(outbox, store, 1, account(3))
    await fail(circuits)
    await monitor(database).run()
    await monitor(database).run()
    expected = [(Kind.FAILED, HAPPENED), (Kind.OUTAGE, BEGAN), (Kind.FAILED, HAPPENED)]
    assert await told.all() == expected
    facts = (await told.facts())[-1]
    assert (facts["count"], facts["failed_now"]) == (8, 9)
    assert facts["accounts"] == [
        {"token_id": OTHER_ACCOUNT, "count": 7},
        {"token_id": account(3), "count": 1},
    ]
    assert facts["errors"] == [{"error": UNPROCESSABLE, "count": 8, "orders": 8}]
    assert facts["refused"] == 8
    assert len(facts["examples"]) == 5
    # The seven of one account do not hide the other's.
    assert [each["token_id"] for each in facts["examples"][:2]] == [OTHER_ACCOUNT, account(3)]
    assert facts["examples"][0].keys() == {"operation_id", "token_id", "order_id", "error"}
    assert facts["examples"][0]["error"] == UNPROCESSABLE
    assert {UUID(each) for each in facts["operation_ids"]} == {*many, *one}
    assert first[0] not in facts["operation_ids"]


async def test_a_row_that_was_retried_or_cancelled_meanwhile_is_not_told_as_failed(
    database: Database, outbox: Outbox, store: Store, told: Told
) -> None:
    retried, cancelled, left = await fail_for_good(outbox, store, 3, ACCOUNT)
    operations = Operations(database=database)
    await operations.retry([retried], by="anna@desk")
    await operations.cancel([cancelled], by="anna@desk")
    await monitor(database).run()
    [facts] = await told.facts()
    assert (facts["count"], facts["operation_ids"]) == (1, [str(left)])


async def test_failed_rows_are_not_told_where_that_is_not_wanted(
    database: Database, outbox: Outbox, store: Store, told: Told
) -> None:
    await fail_for_good(outbox, store, 1, ACCOUNT)
    await monitor(database, alert_on_failed=False).run()
    await monitor(database).run()
    assert await told.all() == []


async def test_negative_sums_are_one_change_with_the_balance_of_each_order(
    database: Database, outbox: Outbox, store: Store, told: Told
) -> None:
    for order_id in ("a", "b"):
        await outbox.insert(order_id, operation_type="refund", quantity=2)
    await settle(store, await claim(store))
    await monitor(database).run()
    assert await told.all() == [(Kind.NEGATIVE, HAPPENED)]
    [facts] = await told.facts()
    assert facts["count"] == 2
    assert {"token_id": ACCOUNT, "order_id": "a", "balance": -2} in facts["examples"]


async def discrepancies(outbox: Outbox, acts: Sequence[str]) -> None:
    """Events as `reconcile` writes them."""
    for number, act in enumerate(acts):
        details = {"wanted": True, "found": False, "act": act, "settled_at": "2026-01-01T00:00:00Z"}
        await outbox.connection.execute(
            "INSERT INTO stock_sync_events (kind, token_id, order_id, details)"
            " VALUES ('discrepancy', $1, $2, $3)",
            ACCOUNT,
            f"order-{number}",
            json.dumps(details),
        )


async def test_discrepancies_are_one_change_what_waits_for_a_person_first(
    database: Database, outbox: Outbox, told: Told
) -> None:
    await discrepancies(outbox, ["repaired"] * 6 + ["left", "given_up"])
    await monitor(database).run()
    assert await told.all() == [(Kind.DISCREPANCIES, HAPPENED)]
    [facts] = await told.facts()
    counts = [facts[name] for name in ("found", "repaired", "left", "given_up")]
    assert counts == [8, 6, 1, 1]
    assert facts["hours"] == 24
    assert [each["act"] for each in facts["examples"]][:3] == ["left", "given_up", "repaired"]
    assert facts["examples"][0] == {
        "token_id": ACCOUNT,
        "order_id": "order-6",
        "wanted": True,
        "found": False,
        "settled_at": "2026-01-01T00:00:00Z",
        "act": "left",
    }


async def test_events_beyond_a_turns_are_the_next_ones(
    database: Database, outbox: Outbox, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stocksync.monitor.measuring.MOST_EVENTS", 3)
    await discrepancies(outbox, ["left"] * 4)
    await monitor(database).run()
    await monitor(database).run()
    assert [facts["found"] for facts in await told.facts()] == [3, 1]


# --- who hears of it -----------------------------------------------------------------------------


async def test_delivery_is_woken_by_a_change_and_by_nothing_else(
    database: Database, circuits: Circuits
) -> None:
    woken: list[bool] = []
    watching = monitor(database, on_change=lambda: woken.append(True))
    await watching.run()
    assert woken == []
    await fail(circuits)
    await watching.run()
    assert woken == [True]


async def test_without_telegram_changes_are_in_the_log_alone_each_once(
    database: Database, outbox: Outbox, circuits: Circuits, store: Store, told: Told
) -> None:
    await fail_for_good(outbox, store, 2, ACCOUNT)
    await fail(circuits)

    def no_one() -> None:
        pytest.fail("there is nobody to deliver to")

    with capture_logs() as events:
        for _ in range(2):
            await monitor(database, is_telling=False, on_change=no_one).run()
        await prove(circuits)
        await monitor(database, is_telling=False, on_change=no_one).run()
    lines = [each for each in events if each["event"] == "monitor.noticed"]
    assert [(each["kind"], each["phase"], each["log_level"]) for each in lines] == [
        ("outage", "began", "error"),
        ("failed", "happened", "warning"),
        ("outage", "ended", "info"),
    ]
    assert lines[0]["reason"] == "refused"
    assert lines[1]["count"] == 2
    assert "operation_ids" not in lines[1]
    assert await told.all() == []


async def test_a_turn_says_what_it_saw_and_notes_what_waited_in_its_minute(
    database: Database, outbox: Outbox, circuits: Circuits
) -> None:
    await outbox.insert_orders(3)
    await pass_time(outbox, 1)
    result = await monitor(database).run()
    assert (result["pending"], result["due_rows"], result["changes"]) == (3, 3, 0)
    # Also when nothing of it may be claimed.
    await fail(circuits)
    await outbox.insert("one-more")
    await discrepancies(outbox, ["repaired", "left"])
    await monitor(database).run()
    row = await outbox.connection.fetchrow(
        "SELECT max(due_rows) AS due_rows, max(oldest_due_seconds) AS oldest_due_seconds,"
        " sum(discrepancies_found) AS found, sum(discrepancies_repaired) AS repaired"
        " FROM stock_sync_minutes"
    )
    assert row is not None
    assert (row["due_rows"], row["found"], row["repaired"]) == (4, 2, 1)
    assert row["oldest_due_seconds"] == pytest.approx(60, abs=30)


# --- what it costs -------------------------------------------------------------------------------

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
QUESTIONS = {
    "waiting": ("6",),
    "monitor_stale": ("6", f"'{{{ACCOUNT},{OTHER_ACCOUNT},{account(3)}}}'", "100"),
    "monitor_behind": ("'{outage}'", "'{\"\"}'", "ARRAY[now()]"),
}
# As if memory were short, and other processes cost nothing.
SHORT_OF_MEMORY = (
    "SET LOCAL work_mem = '64kB'",
    "SET LOCAL min_parallel_table_scan_size = 0",
    "SET LOCAL min_parallel_index_scan_size = 0",
    "SET LOCAL parallel_setup_cost = 0",
    "SET LOCAL parallel_tuple_cost = 0",
)


@pytest.mark.parametrize("begun_by", ["by_index", "monitor_begin"])
@pytest.mark.parametrize("question", QUESTIONS)
async def test_a_queue_that_is_stale_is_read_once_by_one_process_without_a_sort(
    database: Database, outbox: Outbox, question: str, begun_by: str
) -> None:
    run = outbox.connection.execute
    await run("ALTER TABLE pending_stock_operations SET (autovacuum_enabled = off)")
    # The rows of three accounts lie beside each other.
    await run(
        "INSERT INTO pending_stock_operations"
        " (token_id, order_id, sku, quantity, created_at, next_retry_at)"
        " SELECT '0a1b2c3d-0000-4000-8000-00000000000' || 1 + n % 3, 'order-' || n, 'A', 1, at, at"
        " FROM generate_series(1, 15000) n, (SELECT now() - interval '7 hours' AS at) past"
    )
    await run("VACUUM ANALYZE pending_stock_operations")
    pages = await outbox.connection.fetchval(
        "SELECT (sum(pg_relation_size(name::regclass)) / 8192)::int FROM unnest(ARRAY["
        " 'pending_stock_operations', 'pending_stock_operations_due']) name"
    )
    asked = f"EXPLAIN (ANALYZE, BUFFERS) {database.query(question)}"
    for number, argument in enumerate(QUESTIONS[question], 1):
        asked = asked.replace(f"${number}", argument)
    async with database.connection() as connection, connection.transaction():
        for setting in SHORT_OF_MEMORY:
            await connection.execute(setting)
        await connection.execute(database.query(begun_by))
        lines = await connection.fetch(asked)
    plan = "\n".join(line[0] for line in lines)
    assert "Gather" not in plan
    assert "temp " not in plan
    assert pages_in(lines) <= 1.2 * pages + 50


async def test_examples_of_stale_rows_are_looked_for_in_a_sample_and_the_count_is_of_all(
    database: Database, outbox: Outbox, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stocksync.monitor.measuring.SAMPLE_ROWS", 3)
    await outbox.insert_orders(40)
    await outbox.insert_orders(20, token_id=OTHER_ACCOUNT)
    await pass_time(outbox, 7 * 60)
    # Due again later than anything else: found by its error.
    retried = await outbox.insert("retried")
    await outbox.connection.execute(
        "UPDATE pending_stock_operations SET attempts = 1, error_message = '500',"
        " next_retry_at = now() + interval '1 hour', created_at = now() - interval '9 hours'"
        " WHERE id = $1",
        retried,
    )
    await monitor(database).run()
    [facts] = [each for each in await told.facts() if "examples" in each]
    assert facts["count"] == 61
    assert facts["examples"][0]["operation_id"] == str(retried)
    assert {each["token_id"] for each in facts["examples"][1:]} <= {ACCOUNT, OTHER_ACCOUNT}
    assert len(facts["examples"]) == 5


async def test_however_many_read_long_a_claim_and_a_settlement_find_connections_free(
    dsn: str, outbox: Outbox, another: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await outbox.insert()
    async with Database(url=dsn, max_connections=3) as database:
        store, operations = Store(database=database, by="a test"), Operations(database=database)
        async with another.transaction():
            # What a look at the numbers reads, and a claim and a settlement do not.
            await another.execute("LOCK TABLE stock_sync_minutes")
            readers = [
                asyncio.create_task(read)
                for read in (
                    monitor(database).run(),
                    monitor(database).report(NOW, NOW),
                    operations.status(limits=LIMITS),
                    operations.status(limits=LIMITS),
                )
            ]
            async with asyncio.timeout(30):
                while not await outbox.connection.fetchval(WAITING):
                    await asyncio.sleep(0.01)
            async with asyncio.timeout(5):
                await settle(store, await claim(store), DONE)
        await asyncio.gather(*readers)
    assert await outbox.statuses() == {"completed": 1}


async def test_a_look_at_a_long_queue_may_take_longer_than_the_statements_of_a_push(
    dsn: str, outbox: Outbox, another: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await outbox.insert()
    late = f"{WAITING} AND clock_timestamp() - query_start > interval '1 second'"
    async with Database(url=dsn, command_seconds=0.5) as database:
        async with another.transaction():
            await another.execute("LOCK TABLE pending_stock_operations")
            turn = asyncio.create_task(monitor(database).run())
            async with asyncio.timeout(30):
                while not await outbox.connection.fetchval(late):
                    assert not turn.done()
                    await asyncio.sleep(0.01)
        assert (await turn)["pending"] == 1
