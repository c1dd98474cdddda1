"""The daemon's life: from the first connection to the last, by the signals that it gets."""

import asyncio
import dataclasses
import os
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from uuid import uuid4

from stocksync import __version__, schema, settings
from stocksync.backoff import Backoff
from stocksync.daemon.rooms import GROUPS, Rooms
from stocksync.daemon.watchdog import Watchdog
from stocksync.loop import Loop
from stocksync.model import DatabaseUnavailable
from stocksync.systemd import Notifier
from stocksync.telemetry import get_logger

log = get_logger()

# To settle, give back and take leave after the grace; then a daemon that cannot ends all the same.
LAST_SECONDS = 10.0


class Daemon:
    """One `stocksync run`. Its settings are the groups `GROUPS`."""

    GROUPS = GROUPS

    def __init__(self, loaded: settings.Loaded) -> None:
        self._host = socket.gethostname()
        self._grace_seconds = loaded[settings.Relay].shutdown_grace_seconds
        self._stopping = asyncio.Event()
        self._giving_up: asyncio.TimerHandle | None = None
        self._notifier = Notifier.from_environment()
        self._rooms = Rooms(loaded, daemon_id=uuid4(), host=self._host, pid=os.getpid())
        self._watchdog = Watchdog(notifier=self._notifier, loops=self._rooms.watched)

    async def run(self, *, is_migrating: bool = False) -> None:
        """Run until SIGTERM or SIGINT, then finish what is in flight; a second one: at once.

        Waits for a database that is not up yet. Raises `SchemaError` and `DatabaseRefused`.
        """
        log.info("daemon.starting", version=__version__, host=self._host, pid=os.getpid())
        async with AsyncExitStack() as stack:
            stack.enter_context(self._signals())
            await stack.enter_async_context(self._rooms)
            if await self._prepare(is_migrating=is_migrating):
                await self._supervise()
            await self._rooms.pulse.leave()
        log.info("daemon.stopped", **dataclasses.asdict(self._rooms.relay.tally))
        self._end_soon()

    async def _prepare(self, *, is_migrating: bool) -> bool:
        """Wait for the database, migrate if asked, verify the tables; False: stopped meanwhile."""
        backoff = Backoff(initial_seconds=0.25, max_seconds=5)
        failures = 0
        while not self._stopping.is_set():
            try:
                if is_migrating:
                    for migration in await schema.migrate(self._rooms.database):
                        log.info("daemon.migrated", migration=migration.name)
                await schema.verify(self._rooms.database)
                await self._rooms.pulse.beat()
                await self._rooms.timetable.retire()
            except DatabaseUnavailable:
                failures += 1
                await self._stopped_within(backoff.delay_seconds(failures))
            else:
                return not self._stopping.is_set()
        return False

    async def _supervise(self) -> None:
        rooms = self._rooms
        # A loop that ends by an error is a bug: it takes all down, loudly.
        async with asyncio.TaskGroup() as group:
            group.create_task(rooms.relay.run(), name="relay")
            beside = _begun(group, rooms.loops_beside)
            vital = _begun(group, [*rooms.loops_vital, *self._watchdog.loops])
            log.info(
                "daemon.started",
                database=rooms.database.target,
                service=rooms.gateway.base_url,
                concurrency=rooms.concurrency,
            )
            self._notifier.ready()
            # Even when it shall stop at once: what is drained must have begun.
            await asyncio.sleep(0)
            await self._stopping.wait()
            self._notifier.stopping()
            # First: a message or a turn in the middle has the grace as well.
            _end(beside)
            await rooms.relay.drain(grace_seconds=self._grace_seconds)
            _end(vital)

    async def _stopped_within(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    @contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, self._stop, each.name)
        try:
            yield
        finally:
            for each in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(each)

    def _stop(self, name: str) -> None:
        if self._stopping.is_set():
            log.warning("daemon.stops_at_once", signal=name)
            # Leases run out by themselves, and another daemon takes over: nothing needs us to stay.
            os._exit(1)
        log.info("daemon.stopping", signal=name)
        self._stopping.set()
        self._rooms.is_stopping = True
        # A database that is frozen holds up every command to it, and cancelling them too.
        self._giving_up = asyncio.get_running_loop().call_later(
            self._grace_seconds + LAST_SECONDS, self._give_up
        )

    def _end_soon(self) -> None:
        """All is in order. A name that is being resolved in a thread would still be waited for."""
        if self._giving_up is not None:
            self._giving_up.cancel()
        asyncio.get_running_loop().call_later(1, os._exit, 0)

    def _give_up(self) -> None:
        log.error("daemon.cannot_stop_in_order", after="the grace")
        os._exit(1)


Begun = list[tuple[Loop, asyncio.Task[None]]]


def _begun(group: asyncio.TaskGroup, loops: Sequence[Loop]) -> Begun:
    return [(loop, group.create_task(loop.run(), name=loop.name)) for loop in loops]


def _end(begun: Begun) -> None:
    for loop, task in begun:
        # Stopped as well: the driver turns a cancellation that meets a frozen database into an
        # error, and a loop outlives errors.
        loop.stop()
        task.cancel()
