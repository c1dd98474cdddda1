"""The soak: a storm of everything for a while, and at the end everything is as it should be.

`STOCKSYNC_SOAK_SECONDS` (60): how long. `STOCKSYNC_SOAK_SEED`: which faults, as far as that goes.
"""

import asyncio
import os
import random
import time
from collections import Counter
from datetime import datetime
from typing import Any

import asyncpg
import pytest

from stocksync.demo.microservice import Received
from tests.faults.storm import (
    TIMEOUT_SECONDS,
    World,
    break_database,
    break_processes,
    break_service,
    produce,
    running_world,
)
from tests.outbox import Outbox

FAULT_SECONDS = float(os.environ.get("STOCKSYNC_SOAK_SECONDS", "60"))
SEED = int(os.environ.get("STOCKSYNC_SOAK_SEED", "0")) or random.SystemRandom().randrange(10**6)
# A circuit's longest rest (30 s), a lease, and the work (README: "Failures").
DRAIN_SECONDS = 45.0


def is_a_bug(event: dict[str, Any]) -> bool:
    """Outages are real here, and the monitor says so."""
    return event["level"] in ("error", "critical") and event["event"] != "monitor.noticed"


@pytest.mark.soak
async def test_nothing_is_lost_stuck_or_wrong_after_a_storm_of_everything(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with running_world(seed=SEED) as world:
        for slot in world.slots:
            slot.start()
        async with asyncio.TaskGroup() as group:
            for each in (produce, break_processes, break_database, break_service):
                group.create_task(each(world))
            await asyncio.sleep(FAULT_SECONDS)
            world.has_ended.set()

        connection = await asyncpg.connect(world.server.dsn())
        outbox = Outbox(connection)
        try:
            ended_at = await connection.fetchval("SELECT clock_timestamp()")
            is_drained = await drain(outbox)
            events = world.end_daemons()
            figures = await figures_of(outbox, world, events, ended_at)
            with capsys.disabled():
                print(f"\nsoak of {FAULT_SECONDS:.0f} s, seed {SEED}\n{figures}")  # noqa: T201 - it is for the eyes
            assert is_drained, await outbox.statuses()
            assert not [event for event in events if is_a_bug(event)]
            assert overlaps(world) == []
            orders, wrong, ambiguous = await flags(outbox, world)
            assert orders > 0
            assert wrong <= ambiguous
            assert await longest_wait_seconds(outbox, ended_at) < DRAIN_SECONDS
        finally:
            await connection.close()


async def drain(outbox: Outbox) -> bool:
    """Wait until every row is completed; False: some are not, after all this time."""
    deadline = time.monotonic() + 2 * DRAIN_SECONDS
    while time.monotonic() < deadline:
        if (await outbox.statuses()).keys() == {"completed"}:
            return True
        await asyncio.sleep(0.1)
    return False


def overlaps(world: World) -> list[tuple[Received, Received]]:
    """Two pushes of one order at once, which the promise excludes."""
    return world.stand_in.record.overlaps_of_the_living(patience_seconds=TIMEOUT_SECONDS)


async def flags(outbox: Outbox, world: World) -> tuple[int, set[str], set[str]]:
    """How many orders; whose flag differs from the definition; who is remembered as ambiguous."""
    rows = await outbox.connection.fetch(
        "SELECT o.token_id, o.order_id, b.balance > 0 AS wanted,"
        " s.ambiguous_at IS NOT NULL AS is_ambiguous"
        " FROM (SELECT DISTINCT token_id, order_id FROM pending_stock_operations) o"
        " CROSS JOIN LATERAL stock_sync_order(o.token_id, o.order_id) b"
        " LEFT JOIN stock_sync_orders s USING (token_id, order_id)"
    )
    held = {key: row.is_stock_updated for key, row in world.stand_in.microservice.flags.items()}
    wrong = {
        row["order_id"]
        for row in rows
        if held.get((row["token_id"], row["order_id"])) is not row["wanted"]
    }
    return len(rows), wrong, {row["order_id"] for row in rows if row["is_ambiguous"]}


async def longest_wait_seconds(outbox: Outbox, ended_at: datetime) -> float:
    """The longest time that a row waited after the last fault had ended."""
    wait: float = await outbox.connection.fetchval(
        "SELECT coalesce(max(extract(epoch FROM completed_at - greatest(created_at, $1))), 0)"
        "::double precision FROM pending_stock_operations WHERE completed_at > $1",
        ended_at,
    )
    return wait


async def duplicates(outbox: Outbox, world: World) -> int:
    """Calls that the service applied and no daemon could settle as proven: they were repeated.

    Harmless: the same flag again, or an older one of an order that is remembered as ambiguous.
    """
    settled: int = await outbox.connection.fetchval(
        "SELECT count(*) FROM (SELECT DISTINCT o.token_id, o.order_id, l.timestamp"
        " FROM stock_synchronization_logs l"
        " JOIN pending_stock_operations o ON o.id = l.operation_id"
        " WHERE l.action IN ('completed', 'pushed_again')) t"
    )
    applied = sum(each.received.applied_at is not None for each in world.stand_in.record.seen)
    return applied - settled


async def figures_of(
    outbox: Outbox, world: World, events: list[dict[str, Any]], ended_at: datetime
) -> str:
    record = world.stand_in.record
    orders, wrong, ambiguous = await flags(outbox, world)
    retries = await outbox.connection.fetchval(
        "SELECT max(retry_count) FROM pending_stock_operations"
    )
    wait_seconds = await longest_wait_seconds(outbox, ended_at)
    lines = {
        "rows": await outbox.statuses(),
        "orders": f"{orders}, ambiguous {len(ambiguous)}, their flag wrong {len(wrong)}",
        "PATCHes": f"{len(record.seen)}, duplicates {await duplicates(outbox, world)}",
        "two at once": f"{len(record.overlaps)}, of the living {len(overlaps(world))}",
        "retries": f"at most {retries}",
        "longest wait after the last fault": f"{wait_seconds:.1f} s",
        "faults": dict(sorted(world.figures.items())),
        "logged": dict(sorted(Counter(event["event"] for event in events).items())),
    }
    return "\n".join(f"  {name}: {value}" for name, value in lines.items())
