"""P4: how soon a single fresh row is at the service."""

import asyncio
import time
from statistics import quantiles

from tests.bench.contestants import (
    PGQUEUER_AIOHTTP,
    PGQUEUER_HTTPX,
    PROCRASTINATE,
    Contestant,
    stocksync,
)
from tests.bench.figures import Goal, Result
from tests.bench.world import World

ROWS_A_SECOND = 50
SECONDS, QUICK_SECONDS = 12, 3
PEERS = (PGQUEUER_HTTPX, PGQUEUER_AIOHTTP, PROCRASTINATE)


async def measure(world: World) -> Result:
    """P4: from just before the INSERT to the PATCH's arrival, p50 (beside it p99)."""
    result = Result(name="P4", title="insert to PATCH, 50/s: p50", unit="ms")
    for _ in range(world.rounds):
        for each in (stocksync(), *(PEERS if world.peers else ())):
            delays = await _delays(world, each)
            cuts = quantiles(delays, n=100)
            result.add(each.name, cuts[49], **{"p99 ms": cuts[98]})
            world.say(f"P4 {each.name}: p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms")
    if result.has(PGQUEUER_HTTPX.name):
        for peer in (PGQUEUER_HTTPX, PGQUEUER_AIOHTTP):
            p50 = result.ratio("stocksync", peer.name)
            p99 = result.median_beside("p99 ms", "stocksync") / result.median_beside(
                "p99 ms", peer.name
            )
            result.goals.append(Goal(what=f"p50, x {peer.name}", value=p50, at_most=0.75))
            result.goals.append(Goal(what=f"p99, x {peer.name}", value=p99, at_most=0.75))
    return result


async def _delays(world: World, contestant: Contestant) -> list[float]:
    """Milliseconds, one for each row."""
    rows = ROWS_A_SECOND * (QUICK_SECONDS if world.is_quick else SECONDS)
    sent: dict[str, float] = {}
    async with world.working(contestant) as work:
        statement = await work.connection.prepare(contestant.insert)
        began_at = asyncio.get_running_loop().time()
        for number in range(rows):
            # By the clock: a slow INSERT does not lower the rate.
            wanted_at = began_at + number / ROWS_A_SECOND
            await asyncio.sleep(max(0.0, wanted_at - asyncio.get_running_loop().time()))
            sent[f"order-{number}"] = time.time()
            await statement.fetch(number)
        await work.until_done(rows, rows)
        arrived = world.service.orders()
    return [(arrived[order][1] - at) * 1000 for order, at in sent.items()]
