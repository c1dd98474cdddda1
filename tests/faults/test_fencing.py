"""Fencing: who lost its lease changes nothing, and what may still be applied is remembered."""

import signal
from typing import Any

from stocksync.demo.microservice import Effect, Fault, StandIn
from tests.daemons import running_daemon
from tests.outbox import Outbox
from tests.relaying import running_relay, until, until_all
from tests.service import TOKEN_ID, running_stand_in

HANG = Fault(effect=Effect(hang_seconds=600), first=1)


async def everything(outbox: Outbox) -> tuple[list[Any], list[Any]]:
    """The table and the log, as they are now."""
    logs = await outbox.connection.fetch("SELECT * FROM stock_synchronization_logs ORDER BY id")
    return await outbox.rows(), logs


async def ambiguous_orders(outbox: Outbox) -> set[str]:
    rows = await outbox.connection.fetch(
        "SELECT order_id FROM stock_sync_orders WHERE ambiguous_at IS NOT NULL"
    )
    return {row["order_id"] for row in rows}


def flag(stand_in: StandIn, order_id: str = "order") -> bool:
    return stand_in.microservice.flags[TOKEN_ID, order_id].is_stock_updated


async def test_a_daemon_stopped_past_its_lease_changes_nothing_that_its_successor_did(
    dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    stand_in.inject(HANG)
    await outbox.insert("order", TOKEN_ID)
    with running_daemon(dsn, stand_in.url) as stopped:
        await until(lambda: len(stand_in.record.received) == 1)
        stopped.signal(signal.SIGSTOP)
        with running_daemon(dsn, stand_in.url) as successor:
            # Whatever is pushed from now on must say the opposite.
            await outbox.insert("order", TOKEN_ID, operation_type="refund")
            await until_all(outbox, "completed")
            assert flag(stand_in) is False
            before = await everything(outbox)

            # The old call is applied after all, and its answer waits for the one who wakes up.
            stand_in.lift()
            await until(lambda: flag(stand_in))
            stopped.signal(signal.SIGCONT)
            await stopped.until_logged("relay.lost_leases")
            assert await everything(outbox) == before
            assert await ambiguous_orders(outbox) == {"order"}, "the wrong flag is not forgotten"
            successor.signal(signal.SIGTERM)
            assert await successor.exit_code() == 0

        # It works on, as if nothing had been.
        await outbox.insert("another", TOKEN_ID)
        await until_all(outbox, "completed")


async def test_what_waited_in_a_stopped_daemon_is_not_pushed_when_it_wakes_up(
    dsn: str, outbox: Outbox
) -> None:
    async with running_stand_in(service_seconds=0.05) as stand_in:
        await outbox.insert_orders(30, token_id=TOKEN_ID)
        with running_daemon(dsn, stand_in.url, CONCURRENCY="1") as stopped:
            await until(lambda: len(stand_in.record.received) == 3)
            stopped.signal(signal.SIGSTOP)
            with running_daemon(dsn, stand_in.url) as successor:
                await until_all(outbox, "completed")
                successor.signal(signal.SIGTERM)
                assert await successor.exit_code() == 0
            before = await everything(outbox)
            pushed = len(stand_in.record.received)
            stopped.signal(signal.SIGCONT)
            # The last of what it found in its line has gone: it claims again.
            await outbox.insert("another", TOKEN_ID)
            await until_all(outbox, "completed")
            assert len(stand_in.record.received) == pushed + 1
            rows, logs = await everything(outbox)
            assert (rows[:-1], logs[:-1]) == before
        assert stand_in.record.overlaps == []


async def test_a_push_that_timed_out_and_is_applied_after_a_newer_one_leaves_the_order_ambiguous(
    dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    stand_in.inject(HANG)
    async with running_relay(dsn, stand_in, timeout_seconds=0.5):
        row_id = await outbox.insert("order", TOKEN_ID)
        await until(lambda: len(stand_in.record.received) == 2)
        await outbox.insert("order", TOKEN_ID, operation_type="refund")
        await until_all(outbox, "completed")
        assert flag(stand_in) is False
        stand_in.lift()
        await until(lambda: flag(stand_in))
    assert await ambiguous_orders(outbox) == {"order"}
    assert await outbox.actions(row_id) == ["retry", "completed"]


async def test_a_push_whose_daemon_died_and_is_applied_after_a_newer_one_leaves_the_order_ambiguous(
    dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    stand_in.inject(HANG)
    row_id = await outbox.insert("order", TOKEN_ID)
    with running_daemon(dsn, stand_in.url) as daemon:
        await until(lambda: len(stand_in.record.received) == 1)
        daemon.signal(signal.SIGKILL)
        await daemon.exit_code()
    async with running_relay(dsn, stand_in, lease_seconds=2, timeout_seconds=1):
        await outbox.insert("order", TOKEN_ID, operation_type="refund")
        await until_all(outbox, "completed")
        assert flag(stand_in) is False
        stand_in.lift()
        await until(lambda: flag(stand_in))
    assert await ambiguous_orders(outbox) == {"order"}
    assert await outbox.actions(row_id) == ["lease_expired", "completed"]


async def test_a_push_broken_off_by_the_end_of_the_grace_leaves_the_order_ambiguous_and_unburnt(
    dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    stand_in.inject(HANG)
    row_id = await outbox.insert("order", TOKEN_ID)
    async with running_relay(dsn, stand_in, grace_seconds=0):
        await until(lambda: len(stand_in.record.received) == 1)
    row = await outbox.row(row_id)
    assert (row["status"], row["retry_count"]) == ("pending", 0)
    assert await ambiguous_orders(outbox) == {"order"}
