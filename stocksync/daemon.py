"""The daemon: settings in, resources opened, loops supervised, signals obeyed."""

import asyncio
import dataclasses
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from uuid import uuid4

from stocksync import __version__, schema, settings
from stocksync.backoff import Backoff
from stocksync.circuits import Circuits
from stocksync.database import Database
from stocksync.gateway import Gateway, GivenToken, MintedToken
from stocksync.listener import Listener
from stocksync.loop import Loop
from stocksync.model import DatabaseUnavailable, StocksyncError
from stocksync.relay import Relay, Tally
from stocksync.settlement import Rules
from stocksync.store import Store
from stocksync.telemetry import get_logger, hide

log = get_logger()

# `status` calls a daemon dead after missing a few of these.
BEAT_SECONDS = 5.0
# One more is the listener's: a daemon holds at most four.
POOL_CONNECTIONS = 3
# Of the daemon's own statements, which take milliseconds: a connection to nowhere is given up soon.
COMMAND_SECONDS = 10.0
# To settle, give back and take leave after the grace; then a daemon that cannot ends all the same.
LAST_SECONDS = 10.0


class Daemon:
    """Everything one `stocksync run` holds, and its life from the first connection to the last."""

    def __init__(
        self,
        *,
        database: settings.Database,
        service: settings.Service,
        relay: settings.Relay,
        retry: settings.Retry,
    ) -> None:
        self._settings = relay
        self._id = uuid4()
        self._host = socket.gethostname()
        by = f"stocksync@{self._host}:{os.getpid()}"
        self._stopping = asyncio.Event()
        self._told = Tally()
        self._database = open_database(
            database, max_connections=POOL_CONNECTIONS, command_seconds=COMMAND_SECONDS
        )
        self._gateway = open_gateway(
            service, database=self._database, concurrency=relay.concurrency
        )
        self._beating = Loop("beat", self._beat)
        self._listening: Loop | None = None
        self._listener: Listener | None = None
        if database.database_listen_url or not database.database_pgbouncer:
            self._listener = Listener(
                database=self._database,
                url=database.listen_url.get_secret_value(),
                on_wake=self._wake_relay,
                on_change=self._listener_changed,
            )
            self._listening = Loop("listen", self._listener.tick)
        backoff = Backoff(
            initial_seconds=retry.retry_initial_delay,
            max_seconds=retry.retry_max_delay,
            base=retry.retry_exponential_base,
            jitter=retry.retry_jitter,
        )
        self._relay = Relay(
            store=Store(database=self._database, by=by),
            pusher=self._gateway,
            rules=Rules(backoff=backoff, max_retries=retry.retry_max_attempts, by=by),
            circuits=Circuits(database=self._database, failures=relay.circuit_failures),
            bell=self._listener,
            concurrency=relay.concurrency,
            claim_batch_size=relay.claim_batch_size,
            lease_seconds=relay.lease_seconds,
            timeout_seconds=service.microservice_timeout_seconds,
            poll_interval_seconds=relay.poll_interval_seconds,
        )

    async def run(self, *, is_migrating: bool = False) -> None:
        """Run until SIGTERM or SIGINT, then finish what is in flight; a second one: at once.

        Waits for a database that is not up yet. Raises `SchemaError` and `DatabaseRefused`.
        """
        log.info("daemon.starting", version=__version__, host=self._host, pid=os.getpid())
        async with AsyncExitStack() as stack:
            stack.enter_context(self._signals())
            await stack.enter_async_context(self._database)
            await stack.enter_async_context(self._gateway)
            if await self._prepare(is_migrating=is_migrating):
                await self._supervise()
            await self._leave()
        log.info("daemon.stopped", **dataclasses.asdict(self._relay.tally))

    def _wake_relay(self) -> None:
        self._relay.wake()

    def _listener_changed(self) -> None:
        # `status` shall know at once, and a deaf one connect at once.
        self._beating.wake()
        if self._listening is not None:
            self._listening.wake()

    async def _prepare(self, *, is_migrating: bool) -> bool:
        """Wait for the database, migrate if asked, verify the tables; False: stopped meanwhile."""
        backoff = Backoff(initial_seconds=0.25, max_seconds=5)
        failures = 0
        while not self._stopping.is_set():
            try:
                if is_migrating:
                    for migration in await schema.migrate(self._database):
                        log.info("daemon.migrated", migration=migration.name)
                await schema.verify(self._database)
                await self._beat()
            except DatabaseUnavailable:
                failures += 1
                await self._stopped_within(backoff.delay_seconds(failures))
            else:
                return not self._stopping.is_set()
        return False

    async def _supervise(self) -> None:
        loops = [self._beating]
        if self._listening is not None:
            loops.append(self._listening)
        else:
            log.info("daemon.polls_only", reason="DATABASE_PGBOUNCER without DATABASE_LISTEN_URL")
        try:
            # A loop that ends by an error is a bug: it takes all down, loudly.
            async with asyncio.TaskGroup() as group:
                group.create_task(self._relay.run(), name="relay")
                tasks = [group.create_task(loop.run(), name=loop.name) for loop in loops]
                log.info(
                    "daemon.started",
                    database=self._database.target,
                    service=self._gateway.base_url,
                    concurrency=self._settings.concurrency,
                )
                # Even when it shall stop at once: what is drained must have begun.
                await asyncio.sleep(0)
                await self._stopping.wait()
                await self._relay.drain(grace_seconds=self._settings.shutdown_grace_seconds)
                for loop, task in zip(loops, tasks, strict=True):
                    # Nothing of theirs has to be finished. Stopped as well: the driver turns a
                    # cancellation that meets a frozen database into an error, and a loop outlives
                    # errors.
                    loop.stop()
                    task.cancel()
        finally:
            if self._listener is not None:
                await self._listener.close()

    async def _beat(self) -> float:
        """Say that this daemon lives, read the database's clock, and tell what was done since."""
        settled_at = self._relay.settled_at
        epoch_seconds = await self._database.fetchval(
            "beat",
            self._id,
            self._host,
            os.getpid(),
            __version__,
            None if self._listener is None else self._listener.is_listening,
            self._relay.in_flight,
            None if settled_at is None else time.monotonic() - settled_at,
        )
        self._database.clock.set(epoch_seconds)
        self._tell_progress()
        return BEAT_SECONDS

    def _tell_progress(self) -> None:
        now, before = dataclasses.asdict(self._relay.tally), dataclasses.asdict(self._told)
        if now != before:
            # Since the last such line.
            log.info("relay.progress", **{name: now[name] - before[name] for name in now})
            self._told = Tally(**now)

    async def _leave(self) -> None:
        try:
            await self._database.fetch("leave", self._id)
        except StocksyncError:
            # Its row says for how long it has not been seen.
            log.debug("daemon.left_unsaid")

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
        # A database that is frozen holds up every command to it, and cancelling them too.
        asyncio.get_running_loop().call_later(
            self._settings.shutdown_grace_seconds + LAST_SECONDS, self._give_up
        )

    def _give_up(self) -> None:
        log.error("daemon.cannot_stop_in_order", after="the grace")
        os._exit(1)


def open_database(
    group: settings.Database, *, max_connections: int = 1, command_seconds: float | None = None
) -> Database:
    """The database of these settings; its password appears in no log line from now on."""
    url = group.database_url.get_secret_value()
    hide(url)
    hide(group.listen_url.get_secret_value())
    return Database(
        url=url,
        schema=group.database_schema,
        is_pgbouncer=group.database_pgbouncer,
        max_connections=max_connections,
        command_seconds=command_seconds,
    )


def open_gateway(group: settings.Service, *, database: Database, concurrency: int = 1) -> Gateway:
    """The microservice of these settings; its secrets appear in no log line from now on."""
    credentials: GivenToken | MintedToken
    if group.microservice_jwt_secret is not None and group.microservice_jwt_user_id is not None:
        secret = group.microservice_jwt_secret.get_secret_value()
        hide(secret)
        credentials = MintedToken(
            secret=secret, user_id=group.microservice_jwt_user_id, clock=database.clock.now
        )
    else:
        assert group.microservice_jwt is not None  # noqa: S101 - the settings require one or other
        jwt = group.microservice_jwt.get_secret_value()
        hide(jwt)
        credentials = GivenToken(jwt)
    return Gateway(
        base_url=group.microservice_url,
        credentials=credentials,
        timeout_seconds=group.microservice_timeout_seconds,
        concurrency=concurrency,
    )
