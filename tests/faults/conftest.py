"""The ground for faults: a Postgres that may be broken, and proxies that break the way to it."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import asyncpg
import pytest

from stocksync import schema
from stocksync.database import UNAVAILABLE, Database
from stocksync.demo.microservice import StandIn
from stocksync.demo.postgres import PostgresServer
from tests.faults.proxy import Proxy, proxy_to
from tests.outbox import Outbox
from tests.relaying import until_async
from tests.service import running_stand_in

TEMPLATE = "faults_template"
# For a daemon that shall not lose its patience, however busy the machine is.
PATIENT = {"MICROSERVICE_TIMEOUT_SECONDS": "10", "LEASE_SECONDS": "20"}


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server of our own that tests may restart: what it has committed survives its crash.

    It has few connections, so that a test can take them all.
    """
    settings = {"fsync": "off", "max_connections": "100", "autovacuum": "off"}
    with PostgresServer(tcp=True, settings=settings) as server:
        # A loop of its own, which nobody else takes for the current one.
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            runner.run(_make_template(server))
        yield server


async def _make_template(server: PostgresServer) -> None:
    await execute(server, f"CREATE DATABASE {TEMPLATE}")
    async with Database(url=server.dsn(database=TEMPLATE)) as database:
        await schema.migrate(database)


async def execute(server: PostgresServer, statement: str) -> None:
    """Run a statement on a connection of its own, whatever a test has broken."""
    connection = await asyncpg.connect(server.dsn(), timeout=10, command_timeout=30)
    try:
        await connection.execute("SET default_transaction_read_only = off")
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
async def dsn(postgres: PostgresServer) -> AsyncIterator[str]:
    """A migrated database on that server, by TCP."""
    name = f"faults_{secrets.token_hex(4)}"
    # Copying files is much faster than writing the copy to the WAL.
    strategy = " STRATEGY FILE_COPY" if postgres.version >= (15, 0) else ""
    await execute(postgres, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}{strategy}")
    yield postgres.dsn(database=name, tcp=True)
    await execute(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def bare_dsn(postgres: PostgresServer) -> AsyncIterator[str]:
    """A database on that server without any table."""
    name = f"faults_{secrets.token_hex(4)}"
    await execute(postgres, f"CREATE DATABASE {name} TEMPLATE template0")
    yield postgres.dsn(database=name, tcp=True)
    await execute(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def stand_in() -> AsyncIterator[StandIn]:
    async with running_stand_in() as stand_in:
        yield stand_in


@pytest.fixture
async def way_to_database(postgres: PostgresServer) -> AsyncIterator[Proxy]:
    async with proxy_to(postgres.port) as proxy:
        yield proxy


@pytest.fixture
async def way_to_service(stand_in: StandIn) -> AsyncIterator[Proxy]:
    async with proxy_to(urlsplit(stand_in.url).port or 0) as proxy:
        yield proxy


def through(proxy: Proxy, url: str) -> str:
    """The same URL by way of the proxy."""
    port = urlsplit(url).port
    return url.replace(f":{port}", f":{proxy.port}", 1)


async def until_completed(dsn: str, count: int) -> None:
    """Wait until there are so many rows, all completed, whatever becomes of connections."""

    async def is_so() -> bool:
        try:
            connection = await asyncpg.connect(dsn, timeout=5)
            try:
                return await Outbox(connection).statuses() == {"completed": count}
            finally:
                await connection.close()
        except UNAVAILABLE:
            return False

    await until_async(is_so)
