"""The way to Postgres: connections with deadlines, and errors that say whether to try again.

asyncpg's home, together with `listener`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Self, TypeAlias
from urllib.parse import parse_qsl, urlsplit

import asyncpg

from stocksync import statements
from stocksync.model import DatabaseRefused, DatabaseUnavailable
from stocksync.telemetry import get_logger

log = get_logger()

# The environment failed, not the statement: another try may pass. What a restart, a failover or a
# full server raise was tried, not read: some are neither OSError nor PostgresError.
UNAVAILABLE: tuple[type[BaseException], ...] = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,  # also masks an administrator's shutdown
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.OutOfMemoryError,
    asyncpg.DiskFullError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TargetServerAttributeNotMatched,
    asyncpg.ReadOnlySQLTransactionError,
)
# This statement was broken off, for another one's sake; the connection and the database are well.
BROKEN_OFF: tuple[type[BaseException], ...] = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
)

# The database answers, and the answer is no: nothing but a person mends that.
REFUSED: tuple[type[BaseException], ...] = (
    asyncpg.ClientConfigurationError,  # a file that the URL names is missing, for instance
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedFunctionError,
    asyncpg.UndefinedColumnError,
)

# Rows, or the table referred to, do not fit a foreign key that is being added.
KEY_REFUSED: tuple[type[BaseException], ...] = (
    asyncpg.ForeignKeyViolationError,
    asyncpg.InvalidForeignKeyError,
    asyncpg.DatatypeMismatchError,
    asyncpg.UndefinedColumnError,
)

CONNECT_SECONDS = 10.0
# Longer than a look over a large table takes.
COMMAND_SECONDS = 30.0


class Database:
    """A pool of at most `max_connections`, opened lazily; every call has a deadline.

    Raises `DatabaseUnavailable` for what another try may mend and `DatabaseRefused` for what a
    person must; errors of a statement pass through.

    `rehearsal`: statements, by their names, that each new connection tries at once, without any
    effect. Postgres plans them then, which takes tens of milliseconds, and not when rows wait.
    """

    def __init__(
        self,
        *,
        url: str,
        schema: str = "public",
        is_pgbouncer: bool = False,
        max_connections: int = 3,
        command_seconds: float | None = None,
        application_name: str = "stocksync",
        rehearsal: Sequence[str] = (),
    ) -> None:
        self.schema = schema
        self.target = target(url)
        self._url = url
        self._is_pgbouncer = is_pgbouncer
        self._max_connections = max_connections
        self._command_seconds = command_seconds or COMMAND_SECONDS
        self._application_name = application_name
        # Behind a pooler it would be anybody's connection.
        self._rehearsal = () if is_pgbouncer else rehearsal
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._one_reader = asyncio.Semaphore(1)
        self._lost_at: float | None = None
        self._back_at = 0.0
        self.clock = Clock()

    async def __aenter__(self) -> Self:
        """Make the pool; no connection is opened before the first statement."""
        statements.load(self.schema)
        # Until the first connection is made the pool does not exist for the server: a database
        # that is not up yet is an error of the first statement, like any later outage.
        self._pool = asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=self._max_connections,
            timeout=CONNECT_SECONDS,
            command_timeout=self._command_seconds,
            # pgbouncer hands each transaction another server connection.
            statement_cache_size=0 if self._is_pgbouncer else 100,
            # pgbouncer takes no other settings.
            server_settings={"application_name": self._application_name}
            | ({} if self._is_pgbouncer else {"default_transaction_isolation": "read committed"}),
            # Nothing we run leaves anything behind in the session: no RESET round trip per use.
            reset=_leave_as_is,
            init=self._rehearse,
        )
        await self._pool
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections, by force when the server does not answer."""
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                await asyncio.wait_for(pool.close(), timeout=2)
            except UNAVAILABLE:
                pool.terminate()

    async def open(self, connections: int) -> None:
        """Have so many connections open: who needs one soon does not wait for it."""
        async with AsyncExitStack() as stack:
            for _ in range(connections):
                await stack.enter_async_context(self.connection())

    async def _rehearse(self, connection: "Connection") -> None:
        if not self._rehearsal:
            return
        # One message, which the server ends by itself: a daemon that is frozen in the middle of
        # several would hold the lock of all claims. And it waits for nobody else's.
        tried = "; ".join(self.query(name) for name in self._rehearsal)
        try:
            await connection.execute(f"BEGIN; SET LOCAL lock_timeout = 100; {tried}; ROLLBACK")
        except asyncpg.PostgresError as error:
            # No tables yet, or no right to them: whoever needs them will say so.
            log.debug("database.not_rehearsed", reason=describe(error))
            await connection.execute("ROLLBACK")

    def query(self, name: str) -> str:
        """The text of `sql/queries/<name>.sql`, for this database's schema."""
        return statements.query(name, self.schema)

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        """All rows of the statement `sql/queries/<query>.sql`."""
        async with self.connection() as connection:
            # Each statement in a transaction that is surely READ COMMITTED: without a pooler the
            # session says so, behind one nothing of the session is ours.
            if self._is_pgbouncer:
                async with connection.transaction(isolation="read_committed"):
                    return await self._fetch(connection, query, args)
            return await self._fetch(connection, query, args)

    async def _fetch(
        self, connection: "Connection", query: str, args: tuple[object, ...]
    ) -> list[asyncpg.Record]:
        rows: list[asyncpg.Record] = await connection.fetch(self.query(query), *args)
        return rows

    async def fetchrow(self, query: str, *args: object) -> asyncpg.Record | None:
        """The first row of the statement `sql/queries/<query>.sql`, if it has one."""
        rows = await self.fetch(query, *args)
        return rows[0] if rows else None

    async def fetchval(self, query: str, *args: object) -> Any:  # noqa: ANN401 - SQL's type
        """The first column of the first row of the statement `sql/queries/<query>.sql`."""
        row = await self.fetchrow(query, *args)
        return None if row is None else row[0]

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["Connection"]:
        """A pooled connection for several statements, or for a transaction."""
        # Its own: it may be closed while we wait.
        pool = self._pool
        if pool is None:
            raise DatabaseUnavailable("the database connections are closed")
        asked_at = time.monotonic()
        try:
            async with pool.acquire(timeout=CONNECT_SECONDS) as connection:
                yield connection
        except REFUSED as error:
            raise DatabaseRefused(
                f"the database {self.target} refuses: {describe(error)}"
            ) from error
        except BROKEN_OFF as error:
            raise DatabaseUnavailable(f"broken off by the database: {describe(error)}") from error
        except UNAVAILABLE as error:
            # The other connections are of the same server: after a restart broken, after a failover
            # read-only. They would be used again, one after the other.
            await pool.expire_connections()
            raise self._unavailable(error, asked_at) from error
        self._available(asked_at)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator["Connection"]:
        """A pooled connection for questions that may take seconds, one at a time.

        However many there are, claims and settlements find the pool's other connections free.
        """
        async with self._one_reader, self.connection() as connection:
            yield connection

    def _unavailable(self, error: BaseException, asked_at: float) -> DatabaseUnavailable:
        reason = describe(error)
        # What was asked for before it came back is of the outage that is over.
        if self._lost_at is None and asked_at >= self._back_at:
            self._lost_at = time.monotonic()
            log.warning("database.unavailable", database=self.target, reason=reason)
        return DatabaseUnavailable(f"the database {self.target} cannot be reached: {reason}")

    def _available(self, asked_at: float) -> None:
        # What was asked for before it was lost says nothing of now.
        if self._lost_at is not None and asked_at >= self._lost_at:
            self._back_at = time.monotonic()
            log.info("database.available", after_s=round(self._back_at - self._lost_at, 1))
            self._lost_at = None


Record: TypeAlias = asyncpg.Record
# What `Database.connection()` gives. Quoted: the driver's classes are generic in its stubs alone.
Connection: TypeAlias = (
    "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
)


class Clock:
    """The database's clock, the only one that counts, read through this host's steady one."""

    def __init__(self) -> None:
        self._offset_seconds: float | None = None

    def set(self, epoch_seconds: float) -> None:
        """Take the database's time as just read."""
        self._offset_seconds = epoch_seconds - time.monotonic()

    def now(self) -> float:
        """Seconds since 1970 by the database; by this host as long as it was never read."""
        if self._offset_seconds is None:
            return time.time()
        return self._offset_seconds + time.monotonic()


async def connect(url: str, *, application_name: str) -> "asyncpg.Connection[asyncpg.Record]":
    """Open a connection of its own, outside any pool. Raises as `Database` does."""
    try:
        return await asyncpg.connect(
            url,
            timeout=CONNECT_SECONDS,
            command_timeout=COMMAND_SECONDS,
            server_settings={"application_name": application_name},
        )
    except UNAVAILABLE as error:
        raise DatabaseUnavailable(
            f"the database {target(url)} cannot be reached: {describe(error)}"
        ) from error
    except REFUSED as error:
        raise DatabaseRefused(f"the database {target(url)} refuses: {describe(error)}") from error


def target(url: str) -> str:
    """Which database a URL means, without user and password: `db.example:5432/shop`."""
    parts = urlsplit(url)
    named = dict(parse_qsl(parts.query))
    hosts = parts.netloc.rpartition("@")[2] or named.get("host", "at the local socket")
    name = parts.path.lstrip("/") or named.get("dbname") or named.get("database", "")
    return f"{hosts}/{name}" if name else hosts


def describe(error: BaseException) -> str:
    """A short line about an error of the driver; its texts carry no credentials."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:200]


async def _leave_as_is(_: "Connection") -> None:
    """asyncpg's reset would cost every use a round trip."""
