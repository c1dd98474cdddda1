"""The relay: from an INSERT to a proven flag, over real HTTP."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from stocksync.circuit import Seen
from stocksync.database import Database
from stocksync.demo.microservice import Effect, Fault, Matches, StandIn
from stocksync.model import Cause, Retry
from stocksync.relay.line import Line
from stocksync.relay.metering import Uncounted
from stocksync.relay.settling import SETTLE_LIMIT, Settling
from stocksync.store import Store
from tests.outbox import Outbox
from tests.relaying import running_relay, until, until_all, until_async
from tests.service import OTHER_TOKEN_ID, TOKEN_ID, running_stand_in
from tests.settling import DONE, RETRY, TIMEOUT, claim, settlement

# Order ids that break clients (the microservice decodes, routes and echoes them in its own ways).
ODD_ORDER_IDS = [
    "plain",
    "with space",
    "Замовлення №1 ёЁ 订单",
    "100%",
    "%2F",
    "%41",
    "a?b=c",
    "a#b",
    "a+b;c&d=e",
    "\"quoted\" 'id'",
    "..x",
    "...",
    "-",
    "🛒" * 100,
    "x" * 500,
]


PATCH = Matches(route="stock_status")


@pytest.fixture
async def stand_in() -> AsyncIterator[StandIn]:
    async with running_stand_in() as stand_in:
        yield stand_in


def flags(stand_in: StandIn) -> dict[tuple[str, str], bool]:
    rows = stand_in.microservice.flags
    return {key: row.is_stock_updated for key, row in rows.items()}


async def test_200_orders_of_3_units_are_200_patches_and_600_completed_rows(
    dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    await outbox.insert_orders(200, units=3, token_id=TOKEN_ID)
    async with running_relay(dsn, stand_in):
        await until_all(outbox, "completed")
    assert await outbox.statuses() == {"completed": 600}
    assert len(stand_in.record.received) == 200
    assert stand_in.record.overlaps == []
    assert list(flags(stand_in).values()) == [True] * 200
    logs = await outbox.connection.fetch(
        "SELECT action, count(*) n, count(DISTINCT operation_id) operations"
        " FROM stock_synchronization_logs GROUP BY action"
    )
    assert [tuple(row) for row in logs] == [("completed", 600, 600)]


async def test_odd_order_ids_pass_and_come_back_equal(
    dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    for order_id in ODD_ORDER_IDS:
        await outbox.insert(order_id, TOKEN_ID)
    async with running_relay(dsn, stand_in):
        await until_all(outbox, "completed")
    assert flags(stand_in) == {(TOKEN_ID, order_id): True for order_id in ODD_ORDER_IDS}


async def test_a_partial_refund_leaves_the_flag_and_a_full_one_takes_it_back(
    dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    await outbox.insert("order", TOKEN_ID, quantity=2)
    async with running_relay(dsn, stand_in):
        await until_all(outbox, "completed")
        for flag in (True, False):
            await outbox.insert("order", TOKEN_ID, operation_type="refund")
            await until_all(outbox, "completed")
            assert flags(stand_in) == {(TOKEN_ID, "order"): flag}


async def test_a_slow_push_does_not_hold_back_the_others(
    dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    hang = Fault(matches=Matches(order_id="order-1"), effect=Effect(hang_seconds=30))
    stand_in.inject(hang)
    await outbox.insert_orders(50, token_id=TOKEN_ID)
    async with running_relay(dsn, stand_in, concurrency=2, timeout_seconds=30):

        async def only_one_is_left() -> bool:
            return await outbox.statuses() == {"completed": 49, "processing": 1}

        await until_async(only_one_is_left)
        stand_in.lift()
        await until_all(outbox, "completed")


async def test_never_more_than_concurrency_in_flight_and_never_two_of_an_order(
    dsn: str, outbox: Outbox
) -> None:
    async with running_stand_in(service_seconds=0.002) as stand_in:
        async with running_relay(dsn, stand_in, concurrency=3):
            for _ in range(20):
                await outbox.insert_orders(10, token_id=TOKEN_ID)
            await until_all(outbox, "completed")
        assert 1 < stand_in.record.most_in_flight <= 3
        assert stand_in.record.overlaps == []


async def test_failures_are_retried_until_they_pass(
    dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    stand_in.inject(Fault(matches=PATCH, effect=Effect(status=500), first=3))
    row_id = await outbox.insert("order", TOKEN_ID)
    async with running_relay(dsn, stand_in):
        await until_all(outbox, "completed")
    assert await outbox.actions(row_id) == ["retry", "retry", "retry", "completed"]
    row = await outbox.row(row_id)
    assert (row["retry_count"], row["attempts"], row["error_message"]) == (3, 4, None)


async def test_an_unknown_account_does_not_hold_up_another(
    dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    del stand_in.microservice.accounts[OTHER_TOKEN_ID]
    await outbox.insert_orders(20, token_id=OTHER_TOKEN_ID)
    row_id = await outbox.insert("order", TOKEN_ID)
    async with running_relay(dsn, stand_in):

        async def is_so() -> bool:
            return bool((await outbox.row(row_id))["status"] == "completed")

        await until_async(is_so)
    reasons = {row["error_message"] for row in await outbox.rows() if row["error_message"]}
    assert len(reasons) == 1
    assert "Токен" in reasons.pop()


async def test_at_a_slow_service_too_a_fresh_row_of_another_account_is_soon_in_front(
    dsn: str, outbox: Outbox
) -> None:
    async with running_stand_in(service_seconds=0.1) as stand_in:
        await outbox.insert_orders(400, token_id=TOKEN_ID)
        async with running_relay(dsn, stand_in, concurrency=8, grace_seconds=0.5):
            await until(lambda: len(stand_in.record.received) >= 15)
            before = len(stand_in.record.received)
            await outbox.insert("fresh", token_id=OTHER_TOKEN_ID)
            await until(lambda: any(r.order_id == "fresh" for r in stand_in.record.received))
        orders = [each.order_id for each in stand_in.record.received]
    # What a quarter of a second's pushes leave in line (at least eight), and what is in flight.
    assert orders.index("fresh") - before < 30


async def test_rows_are_found_by_the_poll_alone(
    dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    async with running_relay(dsn, stand_in, is_listening=False, poll_interval_seconds=0.2):
        await asyncio.sleep(0.3)  # it has looked, found nothing, and rests
        inserted_at = time.monotonic()
        await outbox.insert("order", TOKEN_ID)
        await until_all(outbox, "completed")
        [received] = stand_in.record.received
        # The interval, and as much again for a busy machine's claim and push.
        assert received.arrived_at - inserted_at < 2.2


async def test_a_wake_up_brings_a_row_to_the_service_long_before_the_poll(
    dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    delays = []
    async with running_relay(dsn, stand_in, poll_interval_seconds=30):
        for number in range(50):
            await outbox.insert(f"order-{number}", TOKEN_ID)
            inserted_at = time.monotonic()
            await until(lambda number=number: len(stand_in.record.received) > number)  # type: ignore[misc]
            delays.append(stand_in.record.received[-1].arrived_at - inserted_at)
            await until_all(outbox, "completed")
    assert sorted(delays)[25] < 0.05, "p50 of 50"


async def test_a_burst_after_a_backlog_wakes_the_relay_again(
    dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    # A backlog silences the wake-up; after it the relay must ask for it again.
    async with running_relay(dsn, stand_in, poll_interval_seconds=30):
        for burst in range(5):
            await outbox.connection.execute(
                "INSERT INTO pending_stock_operations (token_id, order_id, sku, quantity)"
                " SELECT $1, $2 || n, 'A', 1 FROM generate_series(1, 300) n",
                TOKEN_ID,
                f"burst-{burst}-",
            )
            await until_all(outbox, "completed")
            await outbox.insert(f"single-{burst}", TOKEN_ID)
            await until_all(outbox, "completed")


async def test_draining_finishes_what_is_in_flight_and_gives_back_the_rest(
    dsn: str, outbox: Outbox
) -> None:
    async with running_stand_in(service_seconds=0.05) as stand_in:
        await outbox.insert_orders(60, token_id=TOKEN_ID)
        async with running_relay(dsn, stand_in, concurrency=2):
            await until(lambda: len(stand_in.record.received) >= 4)
        statuses = await outbox.statuses()
        assert statuses["completed"] == len(stand_in.record.received)
        assert statuses == {
            "completed": statuses["completed"],
            "pending": 60 - statuses["completed"],
        }
        rows = await outbox.connection.fetch(
            "SELECT attempts FROM pending_stock_operations WHERE status = 'pending'"
        )
        assert {row["attempts"] for row in rows} == {0}


async def test_a_push_that_outlasts_the_grace_leaves_its_order_ambiguous_and_counts_no_retry(
    dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    stand_in.inject(Fault(effect=Effect(hang_seconds=30)))
    row_id = await outbox.insert("order", TOKEN_ID)
    async with running_relay(dsn, stand_in, grace_seconds=0.1):
        await until(lambda: len(stand_in.record.received) == 1)
    row = await outbox.row(row_id)
    assert (row["status"], row["retry_count"]) == ("pending", 0)
    assert await outbox.actions(row_id) == ["interrupted"]
    order = await outbox.order("order", TOKEN_ID)
    assert order is not None
    assert order["ambiguous_at"] is not None


async def test_what_waits_longer_than_its_lease_is_renewed_and_pushed_once(
    dsn: str, outbox: Outbox
) -> None:
    async with running_stand_in(service_seconds=0.1) as stand_in:
        async with running_relay(
            dsn, stand_in, concurrency=1, lease_seconds=2, timeout_seconds=1
        ) as running:
            # By itself the relay claims for a quarter of a second; a service that slows down at
            # once leaves it with more: forty pushes of 0.1 s are twice as long as the lease.
            running.relay._line.target = 40
            await outbox.insert_orders(40, token_id=TOKEN_ID)
            await until_all(outbox, "completed")
        assert len(stand_in.record.received) == 40
        assert {row["attempts"] for row in await outbox.rows()} == {1}


async def test_outcomes_survive_a_database_that_is_away(
    dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    hang = Fault(effect=Effect(hang_seconds=30))
    stand_in.inject(hang)
    row_id = await outbox.insert("order", TOKEN_ID)
    async with running_relay(dsn, stand_in, timeout_seconds=20):
        await until(lambda: len(stand_in.record.received) == 1)
        await outbox.connection.execute("ALTER TABLE pending_stock_operations RENAME TO away")
        stand_in.lift()
        await until(lambda: stand_in.record.received[0].finished_at is not None)
        await outbox.connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await outbox.connection.execute("ALTER TABLE away RENAME TO pending_stock_operations")
        await until_all(outbox, "completed")
    assert len(stand_in.record.received) == 1
    assert await outbox.actions(row_id) == ["completed"]


async def nobody_listens(pushes: Sequence[Seen], /, *, is_clean: bool) -> None:
    """Hear what was settled."""


def settling_alone(store: Store, line: Line | None = None) -> Settling:
    """Settling, with nobody around it."""
    return Settling(
        store=store,
        line=Line(on_half_empty=lambda: None) if line is None else line,
        on_settled=nobody_listens,
        meter=Uncounted(),
    )


async def test_an_outcome_that_cannot_be_written_does_not_hold_up_the_others(
    store: Store, outbox: Outbox
) -> None:
    await outbox.insert_orders(3)
    settling = settling_alone(store)
    for push in await claim(store):
        # Postgres takes no NUL in a text.
        reason = "\x00" if push.order_id == "order-2" else "500"
        settling.add(settlement(push, Retry(reason=reason, cause=Cause.OPERATION)))
    await settling.settle()
    assert len(settling) == 0
    assert await outbox.statuses() == {"pending": 2, "processing": 1}


async def test_a_lost_push_that_ends_beside_a_newer_one_of_its_order_does_not_hide_it(
    store: Store, outbox: Outbox
) -> None:
    row_id = await outbox.insert()
    settling = settling_alone(store)
    [lost] = await claim(store)
    await outbox.expire_leases()
    await store.rescue()
    [newer] = await claim(store)
    settling.add(settlement(newer), DONE)
    settling.add(settlement(lost, TIMEOUT), TIMEOUT)
    while len(settling):
        await settling.settle()
    assert await outbox.statuses() == {"completed": 1}
    assert await outbox.actions(row_id) == ["lease_expired", "completed"]


async def test_an_order_that_ended_twice_and_is_locked_holds_up_no_other(
    store: Store, outbox: Outbox
) -> None:
    held = await outbox.insert("held")
    settling = settling_alone(store)
    [lost] = await claim(store)
    await outbox.expire_leases()
    await store.rescue()
    [newer] = await claim(store)
    settling.add(settlement(newer), DONE)
    settling.add(settlement(lost, TIMEOUT), TIMEOUT)
    await outbox.insert_orders(3)
    for push in await claim(store):
        settling.add(settlement(push), DONE)
    async with outbox.connection.transaction():
        await outbox.connection.execute(
            "SELECT FROM pending_stock_operations WHERE id = $1 FOR UPDATE", held
        )
        await settling.settle()
        assert await outbox.statuses() == {"completed": 3, "processing": 1}
    while len(settling):
        await settling.settle()
    assert await outbox.statuses() == {"completed": 4}


async def test_when_patience_shrinks_a_hanging_push_is_not_waited_for_as_long_as_before(
    dsn: str, stand_in: StandIn
) -> None:
    async with running_relay(dsn, stand_in) as running:
        relay, loop = running.relay, asyncio.get_running_loop()
        for patience_seconds in (30.0, 0.1):
            relay._pace.patience_seconds = patience_seconds
            relay._pace.begin(time.monotonic())
            relay._look_for_hanging_soon()
        assert relay._hang_timer is not None
        assert relay._hang_timer.when() < loop.time() + 1
        await until(lambda: relay._hang_timer is None)
        assert relay._pace.admits()


async def test_while_one_batch_is_settled_the_next_may_be_claimed_and_no_more(
    store: Store, outbox: Outbox
) -> None:
    line = Line(on_half_empty=lambda: None)
    line.target = 20
    settling = settling_alone(store, line)
    await outbox.insert_orders(SETTLE_LIMIT + line.target)
    pushes = await claim(store, SETTLE_LIMIT + line.target)
    for push in pushes[:-1]:
        settling.add(settlement(push), DONE)
    assert not settling.is_full
    settling.add(settlement(pushes[-1]), DONE)
    assert settling.is_full
    await settling.settle()
    assert (len(settling), settling.is_full) == (line.target, False)


async def test_neither_a_failed_probe_nor_a_locked_row_counts_as_settled(
    store: Store, outbox: Outbox
) -> None:
    """An account that is parked for weeks shall not hide that the others stand still."""
    settling = settling_alone(store)
    row_id = await outbox.insert()
    [push] = await claim(store)
    settling.add(settlement(replace(push, is_probe=True), RETRY), RETRY)
    await settling.settle()
    assert settling.settled_at is None

    await outbox.make_due()
    [push] = await claim(store)
    settling.add(settlement(push), DONE)
    async with outbox.connection.transaction():
        await outbox.connection.execute(
            "SELECT FROM pending_stock_operations WHERE id = $1 FOR UPDATE", row_id
        )
        assert await settling.settle()
        assert settling.settled_at is None
    await settling.settle()
    assert settling.settled_at is not None


async def test_a_silent_listener_is_noticed_and_replaced(
    dsn: str, outbox: Outbox, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stocksync.listener.PROBE_INTERVAL_SECONDS", 0.05)
    monkeypatch.setattr("stocksync.listener.ANSWER_SECONDS", 0.5)
    async with running_relay(dsn, stand_in, poll_interval_seconds=30) as running:
        assert running.listener is not None
        deaf = running.listener._connection
        assert deaf is not None
        # As through a pooler in transaction mode: the connection lives, LISTEN is gone.
        async with running.listener._command:
            await deaf.execute("UNLISTEN *")
        await until(lambda: running.listener._connection not in (None, deaf))  # type: ignore[union-attr]
        await outbox.insert("order", TOKEN_ID)
        await until_all(outbox, "completed")


async def test_nobody_is_notified_while_the_relay_is_busy(
    dsn: str, outbox: Outbox, database: Database, stand_in: StandIn
) -> None:
    heard: list[object] = []
    await outbox.connection.add_listener(
        "stock_sync_public", lambda *words: heard.append(words[3]) if not words[3] else None
    )
    async with running_relay(dsn, stand_in) as running:
        assert running.listener is not None
        # At its start the relay asks for the wake-up itself, after its first look.
        await until(lambda: not running.relay._claiming._is_behind)
        async with database.connection() as producer:
            await running.listener.want_wake(is_wanted=False)
            await Outbox(producer).insert("silent", TOKEN_ID)  # type: ignore[arg-type]
            await outbox.connection.execute("SELECT 1")
            assert heard == []
            await until_all(outbox, "completed")
            await running.listener.want_wake(is_wanted=True)
            await Outbox(producer).insert("heard", TOKEN_ID)  # type: ignore[arg-type]
            await until(lambda: len(heard) == 1)
