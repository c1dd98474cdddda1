"""The demo's course: orders arrive, the service goes away and comes back, everything completes."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Self

from stocksync import schema
from stocksync.database import Database
from stocksync.demo import summary
from stocksync.demo.orders import ACCOUNTS, OrderSystem, plan
from stocksync.demo.processes import Process, ProcessEnded
from stocksync.demo.service import USER_ID, Service, running_service
from stocksync.demo.summary import Circuit, Rows, Summary
from stocksync.demo.view import Progress, View, counted

# What rules our daemon must come from here alone, or a demo on a production machine would push
# there: its settings, their other names, systemd's files and socket, the drivers' variables.
_FOREIGN = ("STOCK_SYNC_", "ALLEGRO_", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_", "PG")
_GLANCE_SECONDS = 0.25
_PACE_SECONDS = 1.0
_DAEMON_START_SECONDS = 20.0
_GRACE_SECONDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Timetable:
    """How long what lasts, in seconds."""

    arriving: float
    """Orders arrive, evenly spread."""
    until_outage: float
    """From the first order on."""
    outage: float
    limit: float
    """From the first order until everything must be completed."""

    @classmethod
    def of(cls, orders: int) -> Self:
        """12 orders a second, over 4 to 15 s; many orders at 100 a second, half of what we push."""
        arriving = max(min(max(orders / 12, 4.0), 15.0), orders / 100)
        return cls(
            arriving=arriving,
            until_outage=0.35 * arriving,
            outage=min(0.35 * arriving, 5.0),
            limit=40.0 + arriving,
        )


async def play(
    *, database_url: str, folder: Path, orders: int, view: View, began_at: float
) -> Summary:
    """Play it all on this Postgres, with log files in this folder; `began_at` is monotonic.

    `Summary.problems` says what was not completed in time. Raises ProcessEnded when the daemon or
    the stand-in breaks, DatabaseUnavailable when Postgres does.
    """
    async with (
        Database(url=database_url, application_name="demo") as database,
        Database(
            url=database_url, application_name="demo order system", max_connections=1
        ) as order_database,
        running_service(accounts=ACCOUNTS, log=folder / "service.log") as service,
    ):
        view.phase("a stand-in microservice serves as a process of its own")
        await schema.migrate(database)
        order_system = OrderSystem(database=order_database)
        await order_system.open()
        log = folder / "daemon.log"
        async with running_daemon(database, url=database_url, service=service, log=log) as daemon:
            view.phase("the tables are made, the daemon runs as a process of its own")
            stage = Stage(
                database=database,
                service=service,
                daemon=daemon,
                order_system=order_system,
                view=view,
            )
            await stage.play(orders)
            await daemon.stop(within_seconds=_GRACE_SECONDS + 2)
        held = await service.look()
        return await summary.count(
            database,
            held=held,
            outage=(stage.outage_began_at, stage.outage_ended_at),
            orders_planned=orders,
            total_seconds=time.monotonic() - began_at,
        )


@asynccontextmanager
async def running_daemon(
    database: Database, *, url: str, service: Service, log: Path
) -> AsyncIterator[Process]:
    """Start the daemon, as it runs in production, and wait until it has said that it lives."""
    environment = _own_environment(os.environ) | {
        "STOCK_SYNC_DATABASE_URL": url,
        "STOCK_SYNC_MICROSERVICE_URL": service.url,
        "STOCK_SYNC_MICROSERVICE_JWT_SECRET": service.secret,
        "STOCK_SYNC_MICROSERVICE_JWT_USER_ID": USER_ID,
        # A minute, the default, is longer than the demo. All else is as in production.
        "STOCK_SYNC_RETRY_INITIAL_DELAY": "1",
        "STOCK_SYNC_SHUTDOWN_GRACE_SECONDS": str(_GRACE_SECONDS),
        "STOCK_SYNC_LOG_FORMAT": "json",
        # Another daemon of this machine may have the usual port.
        "STOCK_SYNC_HTTP_PORT": "0",
    }
    with Process("the daemon", "stocksync", "run", log=log, environment=environment) as process:
        deadline = time.monotonic() + _DAEMON_START_SECONDS
        while not await _is_daemon_alive(database):
            process.check()
            if time.monotonic() > deadline:
                raise ProcessEnded(f"the daemon does not start\n{process.last_words()}")
            await asyncio.sleep(_GLANCE_SECONDS / 10)
        yield process


def _own_environment(environ: Mapping[str, str]) -> dict[str, str]:
    return {n: value for n, value in environ.items() if not n.upper().startswith(_FOREIGN)}


async def _is_daemon_alive(database: Database) -> bool:
    async with database.connection() as connection:
        return bool(await connection.fetchval("SELECT EXISTS (SELECT FROM stock_sync_daemons)"))


class Stage:
    """Who takes part, and what happens between the first order and the last completed row."""

    def __init__(
        self,
        *,
        database: Database,
        service: Service,
        daemon: Process,
        order_system: OrderSystem,
        view: View,
    ) -> None:
        self.outage_began_at: datetime | None = None
        """By Postgres's clock; None: not yet."""
        self.outage_ended_at: datetime | None = None
        self._database = database
        self._service = service
        self._daemon = daemon
        self._order_system = order_system
        self._view = view
        self._is_service_up = True
        self._is_circuit_open = False
        self._pace = _Pace()

    async def play(self, orders: int) -> None:
        """Let orders arrive and the service go away, until all is completed or the limit."""
        timetable = Timetable.of(orders)
        self._view.phase(
            f"{counted(orders, 'order arrives', 'orders arrive')} over {timetable.arriving:.0f} s"
            f" in {len(ACCOUNTS)} accounts, some with refunds and corrections"
        )
        changes = plan(orders=orders, over_seconds=timetable.arriving)
        acts = [
            asyncio.create_task(self._order_system.trade(changes), name="orders"),
            asyncio.create_task(self._go_away(timetable), name="outage"),
        ]
        try:
            await self._watch(acts, orders, timetable)
        finally:
            for act in acts:
                act.cancel()
            await asyncio.gather(*acts, return_exceptions=True)

    async def _watch(
        self, acts: Sequence[asyncio.Task[None]], orders: int, timetable: Timetable
    ) -> None:
        deadline = time.monotonic() + timetable.limit
        while time.monotonic() < deadline:
            # Asked before looking: what they did last must be seen.
            over = [act for act in acts if act.done()]
            for act in over:
                act.result()
            rows = await self._look(orders)
            if len(over) == len(acts) and not rows.unfinished:
                self._view.phase("nothing is left to push: all flags are compared")
                return
            await asyncio.sleep(_GLANCE_SECONDS)
        self._view.phase(f"the limit of {timetable.limit:.0f} s is reached")

    async def _go_away(self, timetable: Timetable) -> None:
        await asyncio.sleep(timetable.until_outage)
        self.outage_began_at = await summary.now(self._database)
        await self._service.go_away()
        self._is_service_up = False
        self._pace = _Pace(patches=self._pace.patches)
        self._view.phase(
            f"OUTAGE: the service refuses all connections for {timetable.outage:.1f} s"
        )
        await asyncio.sleep(timetable.outage)
        await self._service.come_back()
        self._is_service_up = True
        self.outage_ended_at = await summary.now(self._database)
        self._view.phase("the service is back: the next probe finds out, without any hands")

    async def _look(self, orders: int) -> Rows:
        self._daemon.check()
        self._service.check()
        rows = await summary.progress(self._database)
        circuit = await self._look_at_circuit()
        if self._pace.is_old:
            held = await self._service.look(since=self._pace.patches)
            self._pace = self._pace.at(held.patches)
        self._view.show(
            Progress(
                orders_arrived=self._order_system.arrived,
                orders_planned=orders,
                rows=rows,
                pushes_per_second=self._pace.per_second,
                is_service_up=self._is_service_up,
                circuit=circuit,
            )
        )
        return rows

    async def _look_at_circuit(self) -> Circuit:
        """The service's; its turns are phases."""
        circuit = await summary.circuit(self._database)
        if circuit.is_open != self._is_circuit_open:
            self._is_circuit_open = circuit.is_open
            self._view.phase(
                "the circuit opened: from here on only probes are pushed, and no retry is used up"
                if circuit.is_open
                else "a probe was answered, the circuit closed: what waited flows again"
            )
        return circuit


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pace:
    """PATCHes a second, between the last two times that they were counted."""

    patches: int = 0
    per_second: float = 0.0
    counted_at: float = field(default_factory=time.monotonic)

    @property
    def is_old(self) -> bool:
        return time.monotonic() - self.counted_at >= _PACE_SECONDS

    def at(self, patches: int) -> "_Pace":
        seconds = time.monotonic() - self.counted_at
        return _Pace(patches=patches, per_second=(patches - self.patches) / seconds)
