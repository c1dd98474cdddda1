"""What is counted while rows are settled, and what is told of it, is what happened."""

import json
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest

from stocksync.circuit import Kind, Seen
from stocksync.circuits import Circuits
from stocksync.database import Database
from stocksync.demo.microservice import StandIn
from stocksync.model import DatabaseRefused
from stocksync.operations import Operations
from stocksync.store import Counts, Store
from stocksync.verdict import Limits, Numbers, Verdict
from tests.daemons import running_daemon
from tests.outbox import ACCOUNT, OTHER_ACCOUNT, Outbox
from tests.relaying import running_relay, until_all, until_async
from tests.service import TOKEN_ID, running_stand_in
from tests.settling import AWAY, DONE, REFUSED, RETRY, claim, settle, settlement
from tests.test_query_plans import STATISTICS, pages_in

LIMITS = Limits()


@pytest.fixture
def operations(database: Database) -> Operations:
    return Operations(database=database)


@pytest.fixture
async def stand_in() -> AsyncIterator[StandIn]:
    async with running_stand_in() as stand_in:
        yield stand_in


async def numbers_of(operations: Operations, limits: Limits = LIMITS) -> Numbers:
    return (await operations.status(limits=limits)).numbers


async def minute(outbox: Outbox, minutes_ago: int, **counts: int) -> None:
    """What was counted in a minute."""
    names, values = ", ".join(counts), ", ".join(map(str, counts.values()))
    await outbox.connection.execute(
        f"INSERT INTO stock_sync_minutes (minute, {names})"
        f" VALUES (date_trunc('minute', now()) - {minutes_ago} * interval '1 minute', {values})"
    )


async def counted(outbox: Outbox) -> dict[str, Any]:
    """All minutes together."""
    names = ("attempts", "unproven", "orders_pushed", "rows_completed", "rows_first_try",
             "rows_failed", "row_retries", "push_ms", "slowest_push_ms")  # fmt: skip
    sums = ", ".join(f"coalesce(sum({name}), 0)::int AS {name}" for name in names)
    row = await outbox.connection.fetchrow(f"SELECT {sums} FROM stock_sync_minutes")
    assert row is not None
    return dict(row)


async def events(outbox: Outbox, kind: str) -> list[tuple[str, str | None, dict[str, Any]]]:
    rows = await outbox.connection.fetch(
        "SELECT token_id, order_id, details FROM stock_sync_events WHERE kind = $1 ORDER BY id",
        kind,
    )
    return [(row["token_id"], row["order_id"], json.loads(row["details"])) for row in rows]


# --- a settlement --------------------------------------------------------------------------------


async def test_a_settlement_says_how_old_completed_rows_were_and_which_took_one_attempt(
    outbox: Outbox, store: Store
) -> None:
    await outbox.insert("second")
    settled = await store.settle([settlement(push, RETRY) for push in await claim(store)])
    assert (settled.row_retries, settled.completed_ages, settled.first_tries) == (1, (), 0)
    await outbox.make_due()
    await outbox.connection.execute(
        "UPDATE pending_stock_operations SET created_at = now() - interval '100 seconds'"
    )
    await outbox.insert_units(2, "first")
    settled = await store.settle([settlement(push, DONE) for push in await claim(store)])
    young, _, old = sorted(settled.completed_ages)
    assert 0 <= young < 100 <= old
    assert (settled.first_tries, settled.retried_seconds) == (2, old)


async def test_a_retry_that_does_not_count_is_not_counted(outbox: Outbox, store: Store) -> None:
    await outbox.insert()
    await settle(store, await claim(store), AWAY)
    await outbox.make_due()
    # Nothing was proven since: an outage burns one.
    settled = await store.settle([settlement(push, AWAY) for push in await claim(store)])
    assert settled.row_retries == 0
    assert (await outbox.rows())[0]["retry_count"] == 1


async def test_a_failed_row_that_is_proven_with_its_order_is_completed_late(
    outbox: Outbox, store: Store
) -> None:
    await outbox.insert()
    await settle(store, await claim(store), REFUSED)
    await outbox.insert()
    settled = await store.settle([settlement(push, DONE) for push in await claim(store)])
    # The failed one had one attempt as well, but not this one.
    assert (len(settled.completed_ages), settled.first_tries) == (2, 1)
    assert settled.retried_seconds == max(settled.completed_ages)


# --- events --------------------------------------------------------------------------------------


async def test_each_row_that_fails_for_good_is_an_event(outbox: Outbox, store: Store) -> None:
    ids = {await outbox.insert("order"), await outbox.insert("order")}
    await outbox.insert("fine")
    refused, fine = sorted(await claim(store), key=lambda push: push.order_id, reverse=True)
    await store.settle([settlement(refused, REFUSED), settlement(fine, DONE)])
    assert await events(outbox, "failed") == 2 * [(ACCOUNT, "order", {"error": REFUSED.reason})]
    told = await outbox.connection.fetch("SELECT operation_id FROM stock_sync_events")
    assert {row["operation_id"] for row in told} == ids


async def test_an_order_proven_with_a_negative_sum_is_one_event(
    outbox: Outbox, store: Store
) -> None:
    for _ in range(2):
        await outbox.insert("returned", operation_type="refund")
    await outbox.insert("sold")
    await settle(store, await claim(store), RETRY)
    assert await events(outbox, "negative") == []
    await outbox.make_due()
    await settle(store, await claim(store))
    assert await events(outbox, "negative") == [(ACCOUNT, "returned", {"balance": -2})]


async def test_a_negative_sum_is_told_too_when_the_order_goes_for_its_own_sake(
    operations: Operations, outbox: Outbox, store: Store
) -> None:
    await outbox.insert(operation_type="refund")
    await settle(store, await claim(store))
    await operations.cancel([await outbox.insert(operation_type="refund")], by="anna@desk")
    [push] = await claim(store)
    assert push.rows == ()
    await settle(store, [push])
    assert await events(outbox, "negative") == 2 * [(ACCOUNT, "order", {"balance": -1})]


async def test_a_circuit_that_opens_and_closes_is_two_events(
    outbox: Outbox, database: Database
) -> None:
    circuits = Circuits(database=database, failures=2)
    for account in ("", OTHER_ACCOUNT):
        failures = [
            Seen(account=OTHER_ACCOUNT, order=str(n), reason="why",
                 kind=Kind.TOKEN if account else Kind.FAILED)
            for n in range(2)
        ]  # fmt: skip
        proof = Seen(account=OTHER_ACCOUNT, order="order", kind=Kind.PROVEN)
        await circuits.feed([*([proof] if account else ()), *failures])
        await outbox.connection.execute(
            "UPDATE stock_sync_circuits"
            " SET opened_at = '2026-05-04 12:00:00.5+02', probes = 3 WHERE is_open"
        )
        await circuits.feed([proof])
    assert await events(outbox, "circuit_opened") == [
        ("", None, {"reason": "why"}),
        (OTHER_ACCOUNT, None, {"reason": "why"}),
    ]
    closed = await events(outbox, "circuit_closed")
    assert [token_id for token_id, *_ in closed] == ["", OTHER_ACCOUNT]
    for _, _, details in closed:
        assert details.pop("seconds") > 0
        assert details == {"opened_at": "2026-05-04T10:00:00.500000Z", "probes": 3}


@pytest.mark.parametrize("memory", ["repairs = 1", "balance_until = now()", "balance = 2"])
async def test_what_is_remembered_of_an_order_outlives_its_push(
    outbox: Outbox, store: Store, memory: str
) -> None:
    await outbox.insert()
    await outbox.connection.execute(
        "INSERT INTO stock_sync_orders (order_id, token_id, push_due_at)"
        " VALUES ('order', $1, now())",
        ACCOUNT,
    )
    await outbox.connection.execute(f"UPDATE stock_sync_orders SET {memory}")
    await settle(store, await claim(store))
    assert await outbox.order() is not None


# --- the minutes ---------------------------------------------------------------------------------


async def test_what_a_relay_did_is_in_the_minutes_once(
    dsn: str, outbox: Outbox, stand_in: StandIn, operations: Operations
) -> None:
    await outbox.insert_orders(20, units=2, token_id=TOKEN_ID)
    async with running_relay(dsn, stand_in) as running:
        await until_all(outbox, "completed")
        await outbox.connection.execute("ALTER TABLE stock_sync_minutes RENAME TO elsewhere")
        with pytest.raises(DatabaseRefused):
            await running.relay.flush()
        # What could not be written is kept; what was written is not written again.
        await outbox.connection.execute("ALTER TABLE elsewhere RENAME TO stock_sync_minutes")

        async def is_told() -> bool:
            await running.relay.flush()
            return bool((await counted(outbox))["rows_completed"] == 40)

        await until_async(is_told)
        await running.relay.flush()
    sums = await counted(outbox)
    assert sums.pop("push_ms") >= sums.pop("slowest_push_ms") > 0
    assert sums == {
        "attempts": 20,
        "unproven": 0,
        "orders_pushed": 20,
        "rows_completed": 40,
        "rows_first_try": 40,
        "rows_failed": 0,
        "row_retries": 0,
    }
    numbers = await numbers_of(operations)
    assert numbers.completed_lately == numbers.completed_today == 40


async def test_a_probe_is_no_attempt_but_what_it_proves_is_pushed(
    dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    await stand_in.stop_listening()
    await outbox.insert("order", TOKEN_ID)
    # The row itself is due long after the circuit has opened, which makes it due for a probe.
    async with running_relay(dsn, stand_in, circuit_failures=1, retry_seconds=60) as running:

        async def is_open() -> bool:
            return bool(await outbox.connection.fetchval("SELECT is_open FROM stock_sync_circuits"))

        await until_async(is_open)
        await stand_in.listen()
        await until_all(outbox, "completed")

        async def is_told() -> bool:
            await running.relay.flush()
            return bool((await counted(outbox))["rows_completed"])

        await until_async(is_told)
    sums = await counted(outbox)
    assert (sums["attempts"], sums["unproven"], sums["orders_pushed"]) == (1, 1, 1)
    assert (sums["rows_completed"], sums["rows_first_try"], sums["row_retries"]) == (1, 0, 1)


async def test_a_daemon_that_stops_leaves_nothing_uncounted(
    dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    with running_daemon(dsn, stand_in.url) as daemon:
        await daemon.until_logged("daemon.started")
        # Between two beats.
        await outbox.insert_orders(20, token_id=TOKEN_ID)
        await until_all(outbox, "completed")
        daemon.signal(signal.SIGTERM)
        assert await daemon.exit_code() == 0
    sums = await counted(outbox)
    assert (sums["orders_pushed"], sums["rows_completed"]) == (20, 20)


async def test_two_daemons_add_to_the_same_minute(outbox: Outbox, store: Store) -> None:
    await outbox.connection.execute(
        "CREATE FUNCTION first() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN NEW.minute = '2026-05-04 12:00+00'; RETURN NEW; END $$;"
        "CREATE TRIGGER first BEFORE INSERT ON stock_sync_minutes"
        " FOR EACH ROW EXECUTE FUNCTION first()"
    )
    one = Counts(attempts=3, unproven=1, rows_completed=2, retried_seconds=1.5, push_ms=30,
                 slowest_push_ms=20)  # fmt: skip
    await store.add_to_minute(one, completed_seconds_ago=(30, 10))
    await store.add_to_minute(one, completed_seconds_ago=None)
    other = Counts(attempts=1, push_ms=25, slowest_push_ms=25)
    await store.add_to_minute(other, completed_seconds_ago=(20, 20))
    [row] = await outbox.connection.fetch(
        "SELECT *, extract(epoch FROM now() - last_completed_at) AS ago,"
        " extract(epoch FROM now() - first_completed_at) AS first_ago FROM stock_sync_minutes"
    )
    assert (row["attempts"], row["unproven"], row["rows_completed"]) == (7, 2, 4)
    assert (row["retried_seconds"], row["push_ms"], row["slowest_push_ms"]) == (3.0, 85, 25)
    assert 9 < row["ago"] < 19
    assert 29 < row["first_ago"] < 39


# --- rates ---------------------------------------------------------------------------------------


async def test_nothing_counted_is_no_rate(operations: Operations) -> None:
    numbers = await numbers_of(operations)
    assert (numbers.attempts, numbers.completed_lately, numbers.completed_today) == (0, 0, 0)
    assert (numbers.first_try_share, numbers.mean_retry_seconds) == (None, None)
    assert (numbers.last_completed_at, numbers.failure_rate) == (None, None)


async def test_first_tries_and_retries_are_those_of_a_day(
    operations: Operations, outbox: Outbox
) -> None:
    await minute(outbox, 10, rows_completed=90, rows_first_try=90)
    await minute(outbox, 1000, rows_completed=10, rows_first_try=8, retried_seconds=50)
    await minute(outbox, 1500, rows_completed=1000, rows_first_try=0, retried_seconds=9999)
    numbers = await numbers_of(operations)
    assert numbers.first_try_share == 0.98
    assert numbers.mean_retry_seconds == 25


async def test_the_failure_rate_is_that_of_its_window(
    operations: Operations, outbox: Outbox
) -> None:
    await minute(outbox, 1, attempts=60, unproven=6)
    await minute(outbox, 29, attempts=40, unproven=14)
    await minute(outbox, 40, attempts=1000, unproven=1000)
    standing = await operations.status(limits=LIMITS)
    assert (standing.numbers.attempts, standing.numbers.unproven) == (100, 20)
    assert standing.verdict is Verdict.DEGRADED
    assert standing.reasons[0].startswith("failure rate: 20 %, 20 of 100 pushes in 30 min")
    longer = await numbers_of(operations, Limits(failure_rate_window_minutes=60))
    assert longer.attempts == 1100
    calm = Limits(failure_rate_threshold=0.2)
    assert (await operations.status(limits=calm)).verdict is Verdict.OK


@pytest.mark.parametrize(
    "before",
    [
        "SELECT now(), 0, now(), now() WHERE false",
        # An outage of minutes, and one of a minute, before which little was to be done.
        "SELECT now() - interval '4 min', 6, now() - interval '4 min', now() - interval '3 min'",
        "SELECT now() - interval '80 s', 50, now() - interval '90 s', now() - interval '80 s'",
    ],
)
async def test_just_after_an_outage_the_present_rate_is_that_since_rows_flow_again(
    operations: Operations, outbox: Outbox, store: Store, before: str
) -> None:
    await outbox.connection.execute(
        "INSERT INTO stock_sync_minutes"
        " (minute, rows_completed, first_completed_at, last_completed_at)"
        f" SELECT date_trunc('minute', at), n, begun, done FROM ({before}) b (at, n, begun, done)"
    )
    await store.add_to_minute(Counts(rows_completed=100), completed_seconds_ago=(20, 1))
    await outbox.insert_units(50)
    numbers = await numbers_of(operations)
    assert (numbers.flowing_rows, numbers.due_rows) == (100, 50)
    assert 18 < numbers.flowing_seconds < 20
    assert numbers.backlog_seconds == pytest.approx(50 / (100 / 19), rel=0.1)


async def test_rows_that_flow_for_long_have_the_rate_of_this_minute_and_the_one_before(
    operations: Operations, outbox: Outbox
) -> None:
    await outbox.connection.execute(
        "INSERT INTO stock_sync_minutes"
        " (minute, rows_completed, first_completed_at, last_completed_at)"
        " SELECT m, extract(epoch FROM done - m) * 10, m, done"
        " FROM generate_series(0, 5) n"
        " CROSS JOIN LATERAL (SELECT date_trunc('minute', now()) - n * interval '1 min') a (m)"
        " CROSS JOIN LATERAL (SELECT least(now(), m + interval '1 min')) b (done)"
    )
    await outbox.insert_units(50)
    numbers = await numbers_of(operations)
    assert 600 <= numbers.flowing_rows <= 1200 + 60
    assert numbers.completed_per_second == pytest.approx(10, rel=0.05)


async def test_what_little_was_to_be_done_is_no_rate_of_seconds(
    operations: Operations, store: Store
) -> None:
    await store.add_to_minute(Counts(rows_completed=1), completed_seconds_ago=(60, 60))
    await store.add_to_minute(Counts(rows_completed=1), completed_seconds_ago=(1, 1))
    numbers = await numbers_of(operations)
    assert numbers.completed_per_second < 2 / 59


async def test_without_a_backlog_the_rate_is_that_of_five_minutes_or_since_there_was_any(
    operations: Operations, outbox: Outbox
) -> None:
    await minute(outbox, 7, rows_completed=10_000)
    await minute(outbox, 2, rows_completed=180)
    numbers = await numbers_of(operations)
    assert numbers.completed_lately == 180
    assert 120 <= numbers.lately_seconds <= 180 + 5
    await minute(outbox, 3, rows_completed=600)
    numbers = await numbers_of(operations)
    assert numbers.completed_lately == 780
    assert 180 <= numbers.lately_seconds <= 240 + 5
    await minute(outbox, 5, rows_completed=1000)
    # Of the minute that began more than five ago, the part that is within them.
    assert 780 <= (await numbers_of(operations)).completed_lately <= 1780


async def test_today_begins_at_midnight_utc(operations: Operations, outbox: Outbox) -> None:
    await outbox.connection.execute("SET TIME ZONE 'Asia/Vladivostok'")
    await outbox.connection.execute(
        "INSERT INTO stock_sync_minutes (minute, rows_completed)"
        " SELECT at, n FROM (SELECT date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'"
        "                    AS midnight) m"
        " CROSS JOIN LATERAL (VALUES (midnight, 5), (midnight - interval '1 minute', 70)) v (at, n)"
    )
    assert (await numbers_of(operations)).completed_today == 5


async def test_the_last_completion_is_known_when_its_daemon_has_left(
    operations: Operations, outbox: Outbox, store: Store
) -> None:
    await store.add_to_minute(Counts(rows_completed=1), completed_seconds_ago=(7, 7))
    await minute(outbox, -1, attempts=1)
    numbers = await numbers_of(operations)
    assert numbers.last_completed_at is not None
    assert numbers.ago(numbers.last_completed_at) == pytest.approx(7, abs=5)


# --- stale ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "is_stale"),
    [
        ("created_at = now() - interval '5 hours'", False),
        ("created_at = now() - interval '7 hours'", True),
        # The order system wanted it to be pushed later.
        (
            "created_at = now() - interval '7 hours', next_retry_at = now() + interval '1 hour'",
            False,
        ),
        (
            "attempts = 1, created_at = now() - interval '7 h', next_retry_at = 'tomorrow'",
            True,
        ),
    ],
)
async def test_stale_is_what_is_old_and_was_tried_or_due(
    operations: Operations, outbox: Outbox, columns: str, is_stale: bool
) -> None:
    await outbox.insert()
    await outbox.connection.execute(f"UPDATE pending_stock_operations SET {columns}")
    assert (await numbers_of(operations)).stale == is_stale
    assert (await numbers_of(operations, Limits(stale_hours=8))).stale == 0


async def test_what_is_in_flight_for_hours_is_stale_and_what_is_done_is_not(
    operations: Operations, outbox: Outbox, store: Store
) -> None:
    await outbox.insert()
    pushes = await claim(store)
    await outbox.connection.execute(
        "UPDATE pending_stock_operations SET created_at = now() - interval '7 hours'"
    )
    standing = await operations.status(limits=LIMITS)
    assert standing.numbers.stale == 1
    assert standing.reasons == ("stale rows: 1, not done 6 h after their insert",)
    await settle(store, pushes)
    assert (await numbers_of(operations)).stale == 0


# --- timers and Telegram -------------------------------------------------------------------------


async def test_a_timer_shows_its_last_turn_and_whether_it_is_overdue(
    operations: Operations, outbox: Outbox
) -> None:
    await outbox.connection.execute(
        "INSERT INTO stock_sync_timers (name, interval_seconds, due_at, runner, result)"
        " VALUES ('cleanup', 3600, now() - interval '59 minutes', 'host:7', '{\"rows\": 3}'),"
        " ('reconcile', 3600, now() - interval '61 minutes', NULL, NULL)"
    )
    standing = await operations.status(limits=LIMITS)
    cleanup, reconcile = standing.timers
    assert (cleanup.name, cleanup.result, cleanup.is_overdue) == ("cleanup", {"rows": 3}, False)
    assert (reconcile.is_overdue, reconcile.is_running, reconcile.result) == (True, False, None)
    assert standing.verdict is Verdict.DEGRADED


async def test_telegram_shows_why_it_refuses_and_what_it_was_not_told(
    operations: Operations, outbox: Outbox
) -> None:
    assert (await operations.status(limits=LIMITS)).telegram.unsent == 0
    await outbox.connection.execute(
        "UPDATE stock_sync_telegram SET refused = '401 Unauthorized', refused_at = now(),"
        " muted_until = now() - interval '1 minute', muted_by = 'anna@desk'"
    )
    await outbox.connection.execute(
        "INSERT INTO stock_sync_changes (at, kind, phase, sent_at)"
        " VALUES (now() - interval '1 hour', 'outage', 'began', NULL),"
        " (now() - interval '2 hours', 'outage', 'ended', now())"
    )
    standing = await operations.status(limits=LIMITS)
    telegram = standing.telegram
    assert (telegram.refused, telegram.muted_until, telegram.unsent) == (
        "401 Unauthorized",
        None,
        1,
    )
    assert telegram.oldest_unsent_at is not None
    assert standing.numbers.ago(telegram.oldest_unsent_at) == pytest.approx(3600, abs=60)
    assert standing.reasons == ("Telegram takes no messages from us: 401 Unauthorized",)


# --- what it costs -------------------------------------------------------------------------------


@pytest.mark.parametrize("statistics", STATISTICS)
async def test_a_look_at_the_numbers_costs_nothing_for_what_is_done(
    database: Database, outbox: Outbox, statistics: str
) -> None:
    run = outbox.connection.execute
    await run("ALTER TABLE pending_stock_operations SET (autovacuum_enabled = off)")
    questions: dict[str, tuple[int, ...]] = {
        "status": (), "rates": (30,), "errors": (), "waiting": (6,),
    }  # fmt: skip
    touched: list[int] = []
    for orders in (300, 3000):
        await outbox.insert_orders(orders)
        await run("UPDATE pending_stock_operations SET status = 'completed', completed_at = now()")
        await run("VACUUM pending_stock_operations")
        await outbox.insert_units(20, "waiting")
        await run(STATISTICS[statistics])
        pages = 0
        async with database.connection() as connection, connection.transaction():
            await connection.execute(database.query("by_index"))
            for name, arguments in questions.items():
                asked = f"EXPLAIN (ANALYZE, BUFFERS) {database.query(name)}"
                for number, argument in enumerate(arguments, 1):
                    asked = asked.replace(f"${number}", str(argument))
                lines = await connection.fetch(asked)
                plan = "\n".join(line[0] for line in lines)
                assert "Seq Scan on pending_stock_operations" not in plan
                pages += pages_in(lines)
        touched.append(pages)
    assert touched[1] <= 1.3 * touched[0] + 10
