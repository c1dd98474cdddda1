"""P3: the bookkeeping alone, with a push that does nothing."""

import asyncio
import json
import sys
from typing import Any

from tests.bench.contestants import PGQUEUER_ENGINE, stocksync
from tests.bench.figures import Goal, Result
from tests.bench.postgres import connected
from tests.bench.processes import ROOT
from tests.bench.world import PATIENCE_SECONDS, NotVerified, World, until_idle

ORDERS = 15_000
QUICK_ORDERS = 1500
# What was fastest of 500, 1000 and 2000; the peer's, too (contestants.py).
CLAIM_BATCH = 1000
ONE, THREE = "stocksync, one row an order", "stocksync, three rows an order"


async def measure(world: World) -> Result:
    """P3."""
    result = Result(name="P3", title="engine with a no-op push", unit="rows/s")
    orders = QUICK_ORDERS if world.is_quick else ORDERS
    for _ in range(world.rounds):
        for units, name in ((1, ONE), (3, THREE)):
            rows = orders * units
            cost = await _settled(world, orders, units)
            result.add(
                name,
                rows / cost["seconds"],
                **{
                    "CPU µs a row": cost["cpu_seconds"] / rows * 1e6,
                    "statements a row": cost["statements"] / rows,
                },
            )
            world.say(f"P3 {name}: {rows / cost['seconds']:,.0f} rows/s")
        if world.peers:
            rate, cpu_us = await _peer(world, orders)
            result.add(PGQUEUER_ENGINE.name, rate, **{"CPU µs a row": cpu_us})
            world.say(f"P3 {PGQUEUER_ENGINE.name}: {rate:,.0f} rows/s")
    if result.has(PGQUEUER_ENGINE.name):
        for name, bound in ((ONE, 1.0), (THREE, 1.5)):
            ratio = result.ratio(name, PGQUEUER_ENGINE.name)
            result.goals.append(
                Goal(what=f"{name}, x pgqueuer's engine", value=ratio, at_least=bound)
            )
    statements = max(result.median_beside("statements a row", name) for name in (ONE, THREE))
    result.goals.append(Goal(what="statements a row", value=statements, at_most=0.1))
    return result


async def _settled(world: World, orders: int, units: int) -> dict[str, Any]:
    contestant = stocksync(units=units)
    with world.postgres.database(contestant.kind) as dsn:
        async with connected(dsn) as connection:
            await connection.execute(contestant.fill.replace("$1", str(orders)))
        arguments = (dsn, str(orders * units), str(CLAIM_BATCH))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.bench.engine", *arguments),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(PATIENCE_SECONDS):
            said, _ = await process.communicate()
        async with connected(dsn) as connection:
            done = (await connection.fetchrow(contestant.done) or [0])[0]
        if done != orders * units:
            raise NotVerified(f"the engine settled {done} rows of {orders * units}")
    # Before it are log lines.
    cost: dict[str, Any] = json.loads(said.splitlines()[-1])
    return cost


async def _peer(world: World, orders: int) -> tuple[float, float]:
    """From the commit of the rows to the last row's log entry."""
    with world.postgres.database(PGQUEUER_ENGINE.kind) as dsn:
        async with connected(dsn) as connection:
            with world.running(PGQUEUER_ENGINE, dsn) as measured:
                await until_idle(measured)
                cpu_before = measured.cpu_seconds
                await connection.execute(PGQUEUER_ENGINE.fill.replace("$1", str(orders)))
                began_at = await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())")
                async with asyncio.timeout(PATIENCE_SECONDS):
                    while await connection.fetchval(PGQUEUER_ENGINE.is_left):
                        measured.check()
                        await asyncio.sleep(0.05)
                cpu_us = (measured.cpu_seconds - cpu_before) / orders * 1e6
                done, done_at = await connection.fetchrow(PGQUEUER_ENGINE.done) or (0, 0)
    if done != orders:
        raise NotVerified(f"{PGQUEUER_ENGINE.name}: {done} rows of {orders}")
    return orders / (float(done_at) - float(began_at)), cpu_us
