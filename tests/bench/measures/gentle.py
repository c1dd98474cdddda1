"""P7: a service that answers one request at a time is kept busy, and not queued up on."""

import asyncio
import time
from statistics import quantiles

import httpx

from tests.bench.contestants import CONCURRENCY, stocksync
from tests.bench.figures import Goal, Result
from tests.bench.world import World

SERVICE_SECONDS = 0.01
ORDERS, QUICK_ORDERS = 2000, 200
ASK_SECONDS = 0.05
SHARE = "share of what the service can do"
HEALTH = "GET /health beside it, p50 ms"


async def measure(world: World) -> Result:
    """P7: 10 ms a request; how much of its time it served, and how long others waited."""
    result = Result(name="P7", title="a service that answers one at a time, 10 ms", unit="")
    orders = QUICK_ORDERS if world.is_quick else ORDERS
    for _ in range(world.rounds):
        async with world.working(stocksync(), service_seconds=SERVICE_SECONDS) as work:
            asking = asyncio.create_task(_health(world.service.url))
            await work.fill(orders)
            _, record = await work.until_done(orders, orders)
            asking.cancel()
            waits_ms = await asking
        share = orders * SERVICE_SECONDS / (record["last_at"] - record["first_at"])
        cuts = quantiles(waits_ms, n=100)
        result.add(SHARE, share)
        result.add("most in flight", record["most_in_flight"])
        result.add(HEALTH, cuts[49], **{"p99 ms": cuts[98]})
        world.say(f"P7 {share:.1%}, at most {record['most_in_flight']}, health {cuts[49]:.0f} ms")
    result.goals += [
        Goal(what=SHARE, value=result.median(SHARE), at_least=0.95),
        Goal(
            what="most in flight",
            value=max(result.figures["most in flight"]),
            at_most=CONCURRENCY,
        ),
        # What is being served, the one or two that wait, and its own turn.
        Goal(what=HEALTH, value=result.median(HEALTH), at_most=40),
    ]
    return result


async def _health(url: str) -> list[float]:
    """Ask until cancelled; gives how long each answer took, in ms."""
    waits_ms = []
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        while True:
            try:
                began_at = time.monotonic()
                (await client.get("/health")).raise_for_status()
                waits_ms.append((time.monotonic() - began_at) * 1000)
                await asyncio.sleep(ASK_SECONDS)
            except asyncio.CancelledError:
                return waits_ms
