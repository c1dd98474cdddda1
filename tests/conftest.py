"""What every test may ask for: a real Postgres, a fresh migrated database in it, the stand-in."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
import structlog
from hypothesis import settings

from stocksync import schema
from stocksync.database import Database
from stocksync.store import Store
from tests.outbox import Outbox
from tests.server import DatabaseServer, database_server

# A slow machine is no bug: tests are bounded by their number of examples.
settings.register_profile("stocksync", deadline=None)
settings.load_profile("stocksync")


@pytest.fixture(scope="session")
def server() -> Iterator[DatabaseServer]:
    with database_server() as server:
        yield server


@pytest.fixture(scope="session")
def template(server: DatabaseServer) -> str:
    return server.create_template(_migrate)


@pytest.fixture
def empty_dsn(server: DatabaseServer) -> Iterator[str]:
    """A database without any table."""
    dsn = server.create_database()
    yield dsn
    server.drop_database(dsn)


@pytest.fixture
def dsn(server: DatabaseServer, template: str) -> Iterator[str]:
    """A migrated database."""
    dsn = server.create_database(template)
    yield dsn
    server.drop_database(dsn)


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[Database]:
    async with Database(url=dsn, max_connections=8) as database:
        yield database


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database=database, by="a test")


@pytest.fixture
async def outbox(dsn: str) -> AsyncIterator[Outbox]:
    """The order system's side: a connection of its own."""
    connection = await asyncpg.connect(dsn)
    try:
        yield Outbox(connection)
    finally:
        await connection.close()


def _migrate(dsn: str) -> None:
    async def migrate() -> None:
        async with Database(url=dsn) as database:
            await schema.migrate(database)

    # Also called while a test's loop runs: a loop of its own, in a thread of its own.
    with asyncio.Runner() as runner:
        runner.run(migrate())


@pytest.fixture(autouse=True)
def telemetry_as_it_was() -> Iterator[None]:
    """A command that is run in this process configures the logging of all that come after it."""
    ours, root = logging.getLogger("stocksync"), logging.getLogger()
    levels, handlers = (ours.level, root.level), list(root.handlers)
    yield
    structlog.reset_defaults()
    ours.setLevel(levels[0])
    root.setLevel(levels[1])
    root.handlers = handlers
