"""Rooms: the one place that knows everything. Settings in, rooms that fit together out."""

import asyncio
from contextlib import AsyncExitStack
from typing import Self
from uuid import UUID

from stocksync import __version__, settings
from stocksync.alerts import catalogue
from stocksync.backoff import Backoff
from stocksync.bot import Bot
from stocksync.circuits import Circuits
from stocksync.daemon.opening import limits_of, open_database, open_gateway, open_telegram
from stocksync.daemon.pulse import Pulse
from stocksync.daemon.timetable import Timetable
from stocksync.delivery import Delivery, Names
from stocksync.listener import Listener
from stocksync.loop import UNTIL_WOKEN, Loop
from stocksync.metrics import Metrics
from stocksync.monitor import Monitor
from stocksync.operations import Operations
from stocksync.relay import Relay
from stocksync.settlement import Rules
from stocksync.store import REHEARSAL, Store
from stocksync.telemetry import get_logger, hide
from stocksync.timers import Timers
from stocksync.web import Web

log = get_logger()

GROUPS = (
    settings.Database,
    settings.Service,
    settings.Relay,
    settings.Retry,
    settings.Reconciliation,
    settings.Cleanup,
    settings.Monitoring,
    settings.Telegram,
    settings.Http,
)
# One more is the listener's: a daemon holds at most four.
POOL_CONNECTIONS = 3
# Of the daemon's own statements, which take milliseconds: a connection to nowhere is given up soon.
COMMAND_SECONDS = 10.0
# What answers over HTTP takes a tenth of a second to load, and another connection to the database
# nearly as long to open: the first pushes go before.
LOAD_AFTER_SECONDS = 0.25


class Rooms:
    """What one daemon holds. Entered, its resources are open."""

    def __init__(self, loaded: settings.Loaded, *, daemon_id: UUID, host: str, pid: int) -> None:
        self._by = f"stocksync@{host}:{pid}"
        relay = loaded[settings.Relay]
        self.concurrency = relay.concurrency
        self.database = open_database(
            loaded[settings.Database],
            max_connections=POOL_CONNECTIONS,
            command_seconds=COMMAND_SECONDS,
            rehearsal=REHEARSAL,
        )
        self.gateway = open_gateway(
            loaded[settings.Service], database=self.database, concurrency=relay.concurrency
        )
        self._listener = self._listening(loaded[settings.Database])
        self._metrics = Metrics(
            version=__version__,
            in_flight=lambda: self.relay.in_flight,
            push_limit=lambda: self.relay.limit,
            is_listening=self._is_listening,
        )
        self._circuits = Circuits(database=self.database, failures=relay.circuit_failures)
        self.relay = self._relaying(loaded)
        self.pulse = Pulse(
            database=self.database,
            relay=self.relay,
            daemon_id=daemon_id,
            host=host,
            pid=pid,
            is_listening=self._is_listening,
        )
        self._operations = Operations(database=self.database)
        self._timers = Timers(database=self.database, by=self._by)
        self._telegram = open_telegram(loaded[settings.Telegram])
        self._names = Names(accounts=self.gateway.accounts)
        self._beating = Loop("beat", self.pulse.beat)
        self._hearing = [] if self._listener is None else [Loop("listen", self._listener.tick)]
        self._delivering = self._delivery(loaded[settings.Telegram])
        self._acting = self._bot(loaded)
        self.timetable = Timetable(
            loaded,
            database=self.database,
            gateway=self.gateway,
            monitor=self._monitor(loaded),
            timers=self._timers,
            by=self._by,
        )
        self._web = self._serving(loaded)
        self._loading = Loop("load", self._load)
        self.is_stopping = False
        """To be set as soon as it is: nobody shall count on this daemon any more."""

    @property
    def watched(self) -> list[Loop]:
        """Loops whose ticks are short: one that is not is stuck."""
        return [*self.relay.loops, *self.loops_vital]

    @property
    def loops_vital(self) -> list[Loop]:
        """Beside the relay's own, those that it works with until the end."""
        return [self._beating, *self._hearing]

    @property
    def loops_beside(self) -> list[Loop]:
        """Those that pushing does not need."""
        return [*self._delivering, *self._acting, *self.timetable.loops, self._loading]

    async def __aenter__(self) -> Self:
        """Open what is to be opened; no connection is made before it is needed."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.database)
            await stack.enter_async_context(self.gateway)
            if self._listener is not None:
                stack.push_async_callback(self._listener.close)
            if self._telegram is not None:
                stack.push_async_callback(self._telegram.aclose)
            if self._web is not None:
                # Before the database is there: that this process lives can be asked from now on.
                await self._web.start()
                stack.push_async_callback(self._web.close)
            self._open = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all, the last first."""
        await self._open.aclose()

    def _listening(self, group: settings.Database) -> Listener | None:
        if group.database_pgbouncer and not group.database_listen_url:
            log.info("daemon.polls_only", reason="DATABASE_PGBOUNCER without DATABASE_LISTEN_URL")
            return None
        return Listener(
            database=self.database,
            url=group.listen_url.get_secret_value(),
            # Both come after it.
            on_wake=lambda: self.relay.wake(),  # noqa: PLW0108
            on_ask=lambda: self.timetable.wake(),  # noqa: PLW0108
            on_change=self._listener_changed,
        )

    def _relaying(self, loaded: settings.Loaded) -> Relay:
        retry, relay = loaded[settings.Retry], loaded[settings.Relay]
        backoff = Backoff(
            initial_seconds=retry.retry_initial_delay,
            max_seconds=retry.retry_max_delay,
            base=retry.retry_exponential_base,
            jitter=retry.retry_jitter,
        )
        return Relay(
            store=Store(database=self.database, by=self._by),
            pusher=self.gateway,
            rules=Rules(backoff=backoff, max_retries=retry.retry_max_attempts, by=self._by),
            circuits=self._circuits,
            meter=self._metrics,
            bell=self._listener,
            concurrency=relay.concurrency,
            claim_batch_size=relay.claim_batch_size,
            lease_seconds=relay.lease_seconds,
            timeout_seconds=loaded[settings.Service].microservice_timeout_seconds,
            poll_interval_seconds=relay.poll_interval_seconds,
        )

    def _monitor(self, loaded: settings.Loaded) -> Monitor:
        group = loaded[settings.Monitoring]
        return Monitor(
            database=self.database,
            operations=self._operations,
            limits=limits_of(loaded),
            repeat_minutes=group.alert_repeat_minutes,
            alert_on_failed=group.monitoring_alert_on_failed_retries,
            auto_fix_hours=loaded[settings.Reconciliation].reconciliation_auto_fix_threshold_hours,
            is_telling=self._telegram is not None,
            on_change=self._tell,
        )

    def _delivery(self, group: settings.Telegram) -> list[Loop]:
        if self._telegram is None:
            return []
        delivery = Delivery(
            database=self.database,
            telegram=self._telegram,
            catalogue=catalogue(group.language, with_buttons=group.telegram_actions),
            names=self._names,
            chats=group.telegram_chat_id,
            critical_chats=group.critical_chats,
            thread_id=group.telegram_thread_id,
        )
        return [Loop("deliver", delivery.tick)]

    def _bot(self, loaded: settings.Loaded) -> list[Loop]:
        group = loaded[settings.Telegram]
        if self._telegram is None or not group.telegram_actions:
            return []
        bot = Bot(
            database=self.database,
            telegram=self._telegram,
            operations=self._operations,
            timers=self._timers,
            catalogue=catalogue(group.language, with_buttons=True),
            names=self._names.of,
            chats={*group.telegram_chat_id, *group.critical_chats},
            allowed_user_ids=group.telegram_allowed_user_ids,
            limits=limits_of(loaded),
        )
        return [Loop("bot", bot.tick)]

    def _serving(self, loaded: settings.Loaded) -> Web | None:
        group = loaded[settings.Http]
        if not group.http_port:
            return None
        token = group.http_token.get_secret_value() if group.http_token else None
        if token is not None:
            hide(token)
        return Web(
            host=group.http_host,
            port=group.http_port,
            token=token,
            database=self.database,
            operations=self._operations,
            timers=self._timers,
            metrics=self._metrics,
            names=self._names,
            limits=limits_of(loaded),
            why_not_ready=self._why_not_ready,
            wake=self._wake,
        )

    def _why_not_ready(self) -> str | None:
        if self.is_stopping:
            return "the daemon is stopping"
        if not self.relay.has_claimed:
            return "it has not looked for due rows yet"
        return None

    async def _load(self) -> float:
        await asyncio.sleep(LOAD_AFTER_SECONDS)
        # A claim and a settlement at once; a third connection stays free for either meanwhile.
        await self.database.open(2)
        if self._web is not None:
            await self._web.load()
        return UNTIL_WOKEN

    def _is_listening(self) -> bool | None:
        return None if self._listener is None else self._listener.is_listening

    def _wake(self) -> None:
        self.relay.wake()
        self.timetable.wake()

    def _listener_changed(self) -> None:
        # `status` shall know at once, and a deaf one connect at once.
        for loop in (self._beating, *self._hearing):
            loop.wake()

    def _tell(self) -> None:
        for loop in self._delivering:
            loop.wake()
