"""Postgres as in production: every commit is on the disk when it is answered."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import asyncpg

from stocksync import schema
from stocksync.database import Database
from stocksync.demo.postgres import PostgresServer
from tests.server import DatabaseServer

SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "256MB",
    # No checkpoint in the middle of a measure that another one does not have.
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "max_connections": "100",
}
LONG_SECONDS = 3600.0


class Postgres:
    """The server; gives each run a database of its own, made as a copy of an empty one."""

    def __init__(self, server: DatabaseServer, version: str) -> None:
        self._server = server
        self.version = version
        self._templates: dict[str, str] = {}

    def prepare(self, kind: str, fill: Callable[[str], None]) -> None:
        """Make the database that those of this kind are copies of; `fill` gets its DSN."""
        self._templates[kind] = self._server.create_template(fill)

    @contextmanager
    def database(self, kind: str = "stocksync") -> Iterator[str]:
        """A database for the time of the block; gives its DSN."""
        dsn = self._server.create_database(self._templates[kind])
        try:
            yield dsn
        finally:
            self._server.drop_database(dsn)


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Start a server of our own; it leaves nothing behind."""
    with PostgresServer(settings=SETTINGS) as started:
        server = DatabaseServer(started.dsn())
        try:
            postgres = Postgres(server, ".".join(map(str, started.version)))
            postgres.prepare("stocksync", _migrated)
            yield postgres
        finally:
            server.close()


@asynccontextmanager
async def connected(dsn: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    """Connect, for statements that may take their time."""
    connection = await asyncpg.connect(dsn, command_timeout=LONG_SECONDS)
    try:
        yield connection
    finally:
        await connection.close()


def _migrated(dsn: str) -> None:
    async def migrate() -> None:
        async with Database(url=dsn) as database:
            await schema.migrate(database)

    asyncio.run(migrate())
