"""P1, P2, P10: how fast a backlog is pushed."""

from contextlib import ExitStack
from typing import NamedTuple

from tests.bench.contestants import (
    PEERS,
    PGQUEUER_AIOHTTP,
    PGQUEUER_HTTPX,
    PROCRASTINATE,
    SERIAL,
    Contestant,
    stocksync,
)
from tests.bench.figures import Goal, Result
from tests.bench.postgres import connected
from tests.bench.world import Work, World, until_idle

ROWS = 5000
QUICK_ROWS = 600


class Drained(NamedTuple):
    rows_a_second: float
    cpu_us_a_row: float
    service_share: float
    """How much of the time the service was at work: it must not be what is measured."""


async def drain(world: World, contestant: Contestant, *, orders: int, units: int = 1) -> Drained:
    """Have so many orders pushed; from the first push to the last settled row."""
    async with world.working(contestant) as work:
        return await _drained(work, orders, units)


async def _drained(work: Work, orders: int, units: int) -> Drained:
    rows = orders * units
    cpu_before, service_before = work.cpu_seconds, work.service.record()["cpu_seconds"]
    await work.fill(orders)
    done_at, record = await work.until_done(orders, rows)
    seconds = done_at - record["first_at"]
    return Drained(
        rows_a_second=rows / seconds,
        cpu_us_a_row=(work.cpu_seconds - cpu_before) / rows * 1e6,
        service_share=(record["cpu_seconds"] - service_before) / seconds,
    )


def _add(result: Result, name: str, drained: Drained) -> None:
    result.add(
        name,
        drained.rows_a_second,
        **{"CPU µs a row": drained.cpu_us_a_row, "service busy": drained.service_share},
    )


async def one_row(world: World) -> Result:
    """P1: one row an order, beside the peers."""
    result = Result(name="P1", title="drain, one row an order, 0 ms service", unit="rows/s")
    rows = QUICK_ROWS if world.is_quick else ROWS
    contestants = (stocksync(), *(PEERS if world.peers else ()))
    for _ in range(world.rounds):
        for each in contestants:
            drained = await drain(world, each, orders=max(50, int(rows * each.share)))
            world.say(f"P1 {each.name}: {drained.rows_a_second:,.0f} rows/s")
            _add(result, each.name, drained)
    bounds = ((PGQUEUER_HTTPX, 3.5), (PROCRASTINATE, 8.0), (SERIAL, 35.0), (PGQUEUER_AIOHTTP, 1.0))
    for peer, bound in bounds:
        if result.has(peer.name):
            ratio = result.ratio("stocksync", peer.name)
            result.goals.append(Goal(what=f"x {peer.name}", value=ratio, at_least=bound))
    return result


async def three_rows(world: World) -> Result:
    """P2: three rows an order, beside one row an order."""
    result = Result(name="P2", title="drain, three rows an order", unit="rows/s")
    rows = QUICK_ROWS if world.is_quick else ROWS
    for _ in range(world.rounds):
        for units, name in ((1, "one row an order"), (3, "three rows an order")):
            drained = await drain(world, stocksync(units=units), orders=rows, units=units)
            world.say(f"P2 {name}: {drained.rows_a_second:,.0f} rows/s")
            _add(result, name, drained)
    ratio = result.ratio("three rows an order", "one row an order")
    result.goals.append(Goal(what="x one row an order", value=ratio, at_least=2.5))
    return result


async def two_daemons(world: World) -> Result:
    """P10: two daemons on one queue."""
    result = Result(name="P10", title="two daemons", unit="rows/s")
    orders = QUICK_ROWS if world.is_quick else 2 * ROWS
    contestant = stocksync()
    for _ in range(world.rounds):
        for count, name in ((1, "one daemon"), (2, "two daemons")):
            with world.postgres.database(contestant.kind) as dsn, ExitStack() as stack:
                world.service.reset()
                processes = [
                    stack.enter_context(world.running(contestant, dsn)) for _ in range(count)
                ]
                for each in processes:
                    await until_idle(each)
                async with connected(dsn) as connection:
                    work = Work(world.service, contestant, connection, processes)
                    drained = await _drained(work, orders, 1)
            world.say(f"P10 {name}: {drained.rows_a_second:,.0f} rows/s")
            _add(result, name, drained)
    ratio = result.ratio("two daemons", "one daemon")
    result.goals.append(Goal(what="x one daemon", value=ratio, at_least=1.3))
    return result
