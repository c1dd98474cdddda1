"""Fairness: another account's fresh row, beside one account's long backlog."""

import asyncio
import time

from tests.bench.contestants import TOKEN_ID, stocksync
from tests.bench.figures import Goal, Result
from tests.bench.world import PATIENCE_SECONDS, NotVerified, Work, World

BACKLOG, QUICK_BACKLOG = 100_000, 2000
# One call at a time, as the microservice is: the backlog lasts for minutes.
SERVICE_SECONDS = 0.005
OTHER_TOKEN_ID = "22222222-2222-4222-8222-222222222222"
ROWS, QUICK_ROWS = 40, 5
BETWEEN_SECONDS = 0.25
FLOWING, PARKED = "a backlog that flows", "a backlog that is parked"
PARK = (
    "INSERT INTO stock_sync_circuits (token_id, is_open, is_clean, reason, opened_at, probe_at)"
    f" VALUES ('{TOKEN_ID}', true, false, 'parked', now(), now() + interval '1 hour')"
)
INSERT = (
    "INSERT INTO pending_stock_operations (token_id, order_id, sku, quantity)"
    f" VALUES ('{OTHER_TOKEN_ID}', $1, 'A-1', 1)"
)


async def measure(world: World) -> Result:
    """From just before the INSERT of a fresh row to its PATCH: the slowest one."""
    backlog = QUICK_BACKLOG if world.is_quick else BACKLOG
    result = Result(name="fair", title=f"a fresh row beside {backlog:,} waiting ones", unit="s")
    for _ in range(world.rounds):
        for name in (FLOWING, PARKED):
            async with world.working(stocksync(), service_seconds=SERVICE_SECONDS) as work:
                if name is PARKED:
                    await work.connection.execute(PARK)
                await work.fill(backlog)
                delays = await _delays(work, QUICK_ROWS if world.is_quick else ROWS)
            result.add(name, max(delays), **{"mean s": sum(delays) / len(delays)})
            world.say(f"fair, {name}: at most {max(delays):.2f} s")
    for name in (FLOWING, PARKED):
        result.goals.append(Goal(what=name, value=max(result.figures[name]), at_most=1.0))
    return result


async def _delays(work: Work, rows: int) -> list[float]:
    """Seconds, one for each row."""
    sent: dict[str, float] = {}
    for number in range(rows):
        sent[f"fresh-{number}"] = time.time()
        await work.connection.execute(INSERT, f"fresh-{number}")
        await asyncio.sleep(BETWEEN_SECONDS)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not sent.keys() <= (arrived := work.service.orders()).keys():
            await asyncio.sleep(0.1)
    if twice := [order for order in sent if arrived[order][0] != 1]:
        raise NotVerified(f"pushed twice: {twice}")
    return [arrived[order][1] - at for order, at in sent.items()]
