"""A storm of everything: daemons, database and service break at random, while orders come in."""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from stocksync import schema
from stocksync.database import UNAVAILABLE, Database
from stocksync.demo.microservice import Delivery, Effect, Fault, Matches, Microservice
from stocksync.demo.postgres import PostgresServer
from tests.daemons import QUICK, Daemon, running_daemon
from tests.faults.conftest import through
from tests.faults.proxy import Proxy, proxy_to
from tests.faults.watched import WatchedStandIn
from tests.outbox import Outbox, account
from tests.service import SECRET, USER_ID

ACCOUNTS = [account(number) for number in range(1, 4)]
PATCH = Matches(route="stock_status")
TIMEOUT_SECONDS = float(QUICK["STOCK_SYNC_MICROSERVICE_TIMEOUT_SECONDS"])
OUTAGES = {
    "hang": Effect(hang_seconds=600),
    "reset": Effect(status=200, delivery=Delivery.RESET),
    "reset, but applied": Effect(status=200, is_applied=True, delivery=Delivery.RESET),
    "half": Effect(delivery=Delivery.HALF),
    "503": Effect(status=503, content="Service Unavailable"),
    "502, but applied": Effect(status=502, content="Bad Gateway", is_applied=True),
    "500": Effect(status=500, content="Internal Server Error"),
    "404 for all": Effect(status=404, content={"detail": "Токен не найден"}),
}


@dataclass
class Slot:
    """A place for a daemon, with ways of its own to the database and to the service."""

    dsn: str
    service_url: str
    way: Proxy
    service_way: Proxy
    stack: ExitStack = field(default_factory=ExitStack)
    daemon: Daemon | None = None
    events: list[dict[str, Any]] = field(default_factory=list)

    def start(self) -> None:
        self.daemon = self.stack.enter_context(
            running_daemon(through(self.way, self.dsn), through(self.service_way, self.service_url))
        )

    def collect(self) -> None:
        """Keep what it logged, and be sure that it is dead."""
        if self.daemon:
            self.daemon.process.kill()
            self.daemon.process.wait()
            self.events += self.daemon.events()
            self.daemon = None
            self.stack.close()


@dataclass
class World:
    server: PostgresServer
    stand_in: WatchedStandIn
    slots: list[Slot]
    dice: random.Random
    figures: Counter[str] = field(default_factory=Counter)
    has_ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def rest(self, least: float, most: float) -> None:
        """Rest so many seconds, or until the storm ends."""
        try:
            async with asyncio.timeout(self.dice.uniform(least, most)):
                await self.has_ended.wait()
        except TimeoutError:
            return

    def end_daemons(self) -> list[dict[str, Any]]:
        """Kill all daemons; gives what they, and those before them, logged."""
        for slot in self.slots:
            slot.collect()
        return [event for slot in self.slots for event in slot.events]


@asynccontextmanager
async def running_world(*, seed: int) -> AsyncIterator[World]:
    microservice = Microservice(secret=SECRET, accounts=dict.fromkeys(ACCOUNTS, USER_ID))
    stand_in = WatchedStandIn(microservice, service_seconds=0.004)
    settings = {"fsync": "off", "max_connections": "60"}
    with PostgresServer(tcp=True, settings=settings) as server:
        dsn = server.dsn(tcp=True)
        async with Database(url=dsn) as database:
            await schema.migrate(database)
        await stand_in.start()
        service_port = urlsplit(stand_in.url).port or 0
        async with AsyncExitStack() as stack:
            slots = [
                Slot(
                    dsn,
                    stand_in.url,
                    await stack.enter_async_context(proxy_to(server.port)),
                    await stack.enter_async_context(proxy_to(service_port)),
                )
                for _ in range(2)
            ]
            stand_in.ways = [slot.service_way for slot in slots]
            try:
                yield World(server, stand_in, slots, random.Random(seed))
            finally:
                for slot in slots:
                    slot.collect()
                await stand_in.aclose()


async def produce(world: World) -> None:
    """The order system: orders of some units, refunds of one or all, whatever fails."""
    orders: list[tuple[str, str, int]] = []
    connection: asyncpg.Connection[asyncpg.Record] | None = None
    while not world.has_ended.is_set():
        try:
            if connection is None:
                connection = await asyncpg.connect(world.server.dsn(), timeout=5)
            await _order_or_refund(Outbox(connection), orders, world.dice)
        except UNAVAILABLE:
            if connection is not None:
                connection.terminate()
            connection = None
        await world.rest(0.005, 0.04)
    if connection is not None:
        connection.terminate()


async def _order_or_refund(
    outbox: Outbox, orders: list[tuple[str, str, int]], dice: random.Random
) -> None:
    if not orders or dice.random() < 0.6:
        token_id, order_id = dice.choice(ACCOUNTS), f"order-{len(orders)}"
        units = dice.randint(1, 3)
        await outbox.insert_units(units, order_id, token_id)
        orders.append((token_id, order_id, units))
        return
    # Young ones, so that a refund meets its order's push.
    token_id, order_id, units = dice.choice(orders[-50:])
    back = dice.choice([1, units])
    kind = dice.choice(["refund", "refund", "deduction"])
    await outbox.insert(order_id, token_id, operation_type=kind, quantity=back)


async def break_processes(world: World) -> None:
    while not world.has_ended.is_set():
        await world.rest(0.5, 3)
        slot = world.dice.choice(world.slots)
        assert slot.daemon is not None
        match world.dice.choice(["kill", "kill", "kill", "stop", "term"]):
            case "kill":
                world.figures["SIGKILL"] += 1
                slot.collect()
                await world.rest(0, 1.5)
                slot.start()
            case "stop":
                world.figures["SIGSTOP"] += 1
                slot.daemon.signal(signal.SIGSTOP)
                await world.rest(0.5, 5)
                slot.daemon.signal(signal.SIGCONT)
            case "term":
                world.figures["SIGTERM"] += 1
                slot.daemon.signal(signal.SIGTERM)
                await world.rest(0, 3)
                slot.collect()
                slot.start()


async def break_database(world: World) -> None:
    while not world.has_ended.is_set():
        await world.rest(1, 6)
        slot = world.dice.choice(world.slots)
        fault = world.dice.choice(["immediate", "fast", "reset", "freeze", "refuse"])
        world.figures[f"database: {fault}"] += 1
        match fault:
            # In this loop's thread: with the thread that started it a server ends.
            case "immediate":
                world.server.restart("immediate")
            case "fast":
                world.server.restart("fast")
            case "reset":
                slot.way.reset()
            case "freeze":
                slot.way.freeze()
                await world.rest(0.5, 3)
                slot.way.thaw()
            case "refuse":
                slot.way.refuse()
                await world.rest(0.5, 3)
                await slot.way.listen()


async def break_service(world: World) -> None:
    def each_way(change: Callable[[Proxy], None]) -> None:
        for way in world.stand_in.ways:
            change(way)

    others: dict[str, Callable[[], object]] = {
        "connections reset": lambda: each_way(Proxy.reset),
        "frozen": lambda: each_way(Proxy.freeze),
        "its database lost": lambda: setattr(
            world.stand_in.microservice, "database", "disconnected"
        ),
    }
    while not world.has_ended.is_set():
        await world.rest(1, 5)
        name = world.dice.choice([*OUTAGES, *others, "refused"])
        world.figures[f"service: {name}"] += 1
        if name in OUTAGES:
            world.stand_in.inject(Fault(matches=PATCH, effect=OUTAGES[name]))
        elif name == "refused":
            await world.stand_in.stop_listening()
        else:
            others[name]()
        await world.rest(0.3, 4)
        world.stand_in.lift()
        world.stand_in.microservice.database = "connected"
        await world.stand_in.listen()
        each_way(Proxy.thaw)
