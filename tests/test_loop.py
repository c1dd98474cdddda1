"""Loops: woken, stopped, and never ended by an error."""

import asyncio
import time

import pytest

from stocksync.backoff import Backoff
from stocksync.loop import UNTIL_WOKEN, Loop
from stocksync.model import DatabaseUnavailable, ServiceUnavailable

QUICK = Backoff(initial_seconds=0.001, max_seconds=0.001)


async def stop(loop: Loop, running: "asyncio.Task[None]") -> None:
    loop.stop()
    async with asyncio.timeout(10):
        await running


async def test_a_thousand_wakes_are_one() -> None:
    ticks = 0

    async def tick() -> float:
        nonlocal ticks
        ticks += 1
        return UNTIL_WOKEN

    loop = Loop("test", tick)
    running = asyncio.create_task(loop.run())
    await asyncio.sleep(0)
    for _ in range(1000):
        loop.wake()
    for _ in range(10):
        await asyncio.sleep(0)
    assert ticks == 2
    await stop(loop, running)


async def test_a_wake_during_a_tick_is_not_lost() -> None:
    ticks = 0

    async def tick() -> float:
        nonlocal ticks
        ticks += 1
        if ticks == 1:
            loop.wake()
        return UNTIL_WOKEN

    loop = Loop("test", tick)
    running = asyncio.create_task(loop.run())
    async with asyncio.timeout(10):
        while ticks < 2:
            await asyncio.sleep(0)
    await stop(loop, running)


async def test_an_error_does_not_end_the_loop() -> None:
    ticks = 0

    async def tick() -> float:
        nonlocal ticks
        ticks += 1
        if ticks < 5:
            raise ZeroDivisionError
        return UNTIL_WOKEN

    loop = Loop("test", tick, backoff=QUICK)
    running = asyncio.create_task(loop.run())
    async with asyncio.timeout(10):
        while ticks < 5:
            await asyncio.sleep(0.001)
    await stop(loop, running)


async def test_a_wake_does_not_shorten_the_rest_after_an_error() -> None:
    began: list[float] = []

    async def tick() -> float:
        began.append(time.monotonic())
        if len(began) == 1:
            raise ConnectionError
        return UNTIL_WOKEN

    loop = Loop("test", tick, backoff=Backoff(initial_seconds=0.2, max_seconds=0.2, jitter=False))
    running = asyncio.create_task(loop.run())
    async with asyncio.timeout(10):
        while len(began) < 2:
            loop.wake()
            await asyncio.sleep(0.001)
    assert began[1] - began[0] >= 0.2
    await stop(loop, running)


@pytest.mark.parametrize("failures", [1, 5, 10, 1000])
def test_a_database_that_is_away_is_looked_for_every_other_second_however_long_it_is_away(
    failures: int,
) -> None:
    loop = Loop("test", nothing, backoff=Backoff(initial_seconds=60, max_seconds=3600))
    rests = {loop._after(DatabaseUnavailable("away"), failures) for _ in range(50)}
    assert 0.05 <= min(rests) <= max(rests) <= 2
    assert len(rests) > 1, "loops and daemons that failed together do not come back together"


@pytest.mark.parametrize("error", [ServiceUnavailable("away"), ZeroDivisionError()])
def test_all_other_errors_rest_as_long_as_the_loop_was_told(error: Exception) -> None:
    exact = Backoff(initial_seconds=60, max_seconds=3600, jitter=False)
    loop = Loop("test", nothing, backoff=exact)
    assert [loop._after(error, n) for n in (1, 2, 100)] == [60, 120, 3600]


async def nothing() -> float:
    """Tick for the sake of those who need a loop."""
    return UNTIL_WOKEN


async def test_stop_cuts_a_long_rest_short() -> None:
    async def tick() -> float:
        return 3600

    loop = Loop("test", tick)
    running = asyncio.create_task(loop.run())
    await asyncio.sleep(0)
    await stop(loop, running)


async def test_stop_lets_the_tick_end() -> None:
    ended = False
    begun = asyncio.Event()

    async def tick() -> float:
        nonlocal ended
        begun.set()
        await asyncio.sleep(0.05)
        ended = True
        return 0

    loop = Loop("test", tick)
    running = asyncio.create_task(loop.run())
    await begun.wait()
    await stop(loop, running)
    assert ended


async def test_a_cancellation_from_within_a_tick_does_not_end_the_loop() -> None:
    ticks = 0

    async def tick() -> float:
        nonlocal ticks
        ticks += 1
        if ticks == 1:
            never = asyncio.get_running_loop().create_future()
            never.cancel()
            await never
        loop.stop()
        return 0

    loop = Loop("a test", tick, backoff=Backoff(initial_seconds=0.01, max_seconds=0.01))
    async with asyncio.timeout(10):
        await loop.run()
    assert ticks == 2
