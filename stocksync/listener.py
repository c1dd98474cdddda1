"""Listener: hears that rows were inserted, and knows when it has gone deaf. Reads no rows.

asyncpg's home, together with `database`.
"""

import asyncio
from collections.abc import Callable
from uuid import uuid4

import asyncpg

from stocksync.database import UNAVAILABLE, Database, connect, describe
from stocksync.model import DatabaseUnavailable
from stocksync.telemetry import get_logger

log = get_logger()

# 1398035287: "STSW" in ASCII, as in the insert trigger.
WAKE_LOCK = 1398035287
# As in sql/queries/wake_timers.sql.
TIMERS = "timers"
PROBE_INTERVAL_SECONDS = 15.0
# A command on the listening connection, and the way of a probe through the server and back.
ANSWER_SECONDS = 5.0
WISH_TRIES = 20


class Listener:
    """Holds a connection of its own that LISTENs, and calls `on_wake` for rows that arrive.

    `on_ask`: a timer's turn was asked for.

    A half-open connection, or a pooler in between, makes LISTEN deaf without any error. So every
    few seconds it sends itself a word the long way round, through the pool; not heard in time, it
    connects anew. The relay's poll goes on in any case.

    `on_change`: it hears, or has gone deaf; then `tick` wants to be called soon.
    """

    def __init__(
        self,
        *,
        database: Database,
        url: str,
        on_wake: Callable[[], None],
        on_ask: Callable[[], None],
        on_change: Callable[[], None],
    ) -> None:
        self._database = database
        self._url = url
        self._on_wake = on_wake
        self._on_ask = on_ask
        self._on_change = on_change
        self._channel = f"stock_sync_{database.schema}"
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        # The connection takes one command at a time.
        self._command = asyncio.Lock()
        self._is_wake_wanted = True
        self._relation = 0
        self._probe = ""
        self._heard = asyncio.Event()

    @property
    def is_listening(self) -> bool:
        """False: rows are found by the poll alone."""
        return self._connection is not None

    async def tick(self) -> float:
        """Connect if need be, and prove that words arrive; gives the seconds to the next proof."""
        if self._connection is None:
            await self._start()
        await self._prove()
        return PROBE_INTERVAL_SECONDS

    async def want_wake(self, *, is_wanted: bool) -> None:
        """Ask the order system's transactions to notify us, or, while busy, not to.

        Without effect on a deaf listener; the wish counts as soon as it hears again.
        """
        self._is_wake_wanted = is_wanted
        if self._connection is not None:
            try:
                await self._say_wish(self._connection)
            except DatabaseUnavailable as error:
                self._lose(str(error))

    async def close(self) -> None:
        """Stop listening. At once: there is nothing to finish."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _start(self) -> None:
        connection = await connect(self._url, application_name="stocksync listener")
        try:
            async with self._command, asyncio.timeout(ANSWER_SECONDS):
                await connection.add_listener(self._channel, self._hear)
                self._relation = await connection.fetchval(
                    "SELECT to_regclass($1)::oid::integer",
                    f'"{self._database.schema}".pending_stock_operations',
                )
            await self._say_wish(connection)
        except UNAVAILABLE as error:
            connection.terminate()
            raise DatabaseUnavailable(f"cannot listen: {describe(error)}") from error
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection
        connection.add_termination_listener(self._on_terminated)
        log.info("listener.listening", channel=self._channel)
        self._on_change()
        # What was inserted while nobody listened.
        self._on_wake()
        self._on_ask()

    async def _prove(self) -> None:
        self._probe = str(uuid4())
        self._heard.clear()
        await self._database.fetch("probe", self._channel, self._probe)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._heard.wait()
        except TimeoutError:
            self._lose("its own word did not arrive")
            raise DatabaseUnavailable("the listening connection is deaf") from None

    async def _say_wish(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        try:
            async with self._command, asyncio.timeout(ANSWER_SECONDS):
                if not self._is_wake_wanted:
                    await connection.execute("SELECT pg_advisory_unlock_all()")
                    return
                for _ in range(WISH_TRIES):
                    if await connection.fetchval(
                        "SELECT pg_try_advisory_lock_shared($1, $2)", WAKE_LOCK, self._relation
                    ):
                        return
                    # A producer is testing the lock at this instant.
                    await asyncio.sleep(0.005)
                # Somebody holds it for good: then every producer finds it taken, and notifies.
        except UNAVAILABLE as error:
            raise DatabaseUnavailable(describe(error)) from error

    def _lose(self, reason: str) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
            log.warning("listener.deaf", reason=reason)
            self._on_change()

    def _on_terminated(self, connection: object) -> None:
        if connection is self._connection:
            self._lose("the connection was closed")

    def _hear(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        if not payload:
            self._on_wake()
        elif payload == TIMERS:
            self._on_ask()
        elif payload == self._probe:
            self._heard.set()
