"""P8, P9: what the daemon needs: memory before a long backlog, and time to begin."""

import asyncio
import time

from tests.bench.contestants import stocksync
from tests.bench.figures import Goal, Result
from tests.bench.postgres import connected
from tests.bench.world import World

BACKLOG, QUICK_BACKLOG = 1_000_000, 10_000
SECONDS, QUICK_SECONDS = 60, 3
BEGIN_TURNS = 3


async def memory(world: World) -> Result:
    """P8: resident memory while it works on a backlog, and whether it grows."""
    result = Result(name="P8", title="memory at a long backlog", unit="MB")
    backlog = BACKLOG if world.is_large else QUICK_BACKLOG if world.is_quick else BACKLOG // 10
    contestant = stocksync()
    seconds = QUICK_SECONDS if world.is_quick else SECONDS if world.is_large else SECONDS // 3
    with world.postgres.database(contestant.kind) as dsn:
        async with connected(dsn) as connection:
            await connection.execute(contestant.fill.replace("$1", str(backlog)))
        world.service.reset()
        with world.running(contestant, dsn) as measured:
            seen = []
            async with asyncio.timeout(seconds + 60):
                while not world.service.record()["pushes"]:
                    measured.check()
                    await asyncio.sleep(0.1)
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                measured.check()
                seen.append(measured.memory_mb)
                await asyncio.sleep(0.25)
            pushes = world.service.record()["pushes"]
    third = len(seen) // 3
    result.add("at most", max(seen))
    result.add(
        "growth, from the second third to the last", max(seen[-third:]) - max(seen[third:-third])
    )
    result.notes.append(f"{backlog:,} rows waited; {pushes:,} pushes in {seconds} s")
    result.goals.append(
        Goal(what=f"MB with {backlog:,} rows waiting", value=max(seen), at_most=120)
    )
    world.say(f"P8 {max(seen):.0f} MB")
    return result


async def beginning(world: World) -> Result:
    """P9: from the start of the process to the first PATCH."""
    result = Result(name="P9", title="start to first PATCH", unit="s")
    contestant = stocksync()
    for _ in range(1 if world.is_quick else BEGIN_TURNS * world.rounds):
        with world.postgres.database(contestant.kind) as dsn:
            async with connected(dsn) as connection:
                await connection.execute(contestant.fill.replace("$1", "1"))
            world.service.reset()
            began_at = time.time()
            with world.running(contestant, dsn) as measured:
                async with asyncio.timeout(60):
                    while not (first_at := world.service.record()["first_at"]):
                        measured.check()
                        await asyncio.sleep(0.02)
                cpu_seconds = measured.cpu_seconds
        result.add("stocksync", first_at - began_at, **{"CPU s": cpu_seconds})
    world.say(f"P9 {result.median('stocksync'):.2f} s")
    result.goals.append(Goal(what="s", value=result.median("stocksync"), at_most=1.0))
    return result
