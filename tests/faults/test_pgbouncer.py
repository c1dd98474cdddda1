"""Behind pgbouncer in transaction mode: it works, or polls and says so."""

from collections.abc import Iterator

import asyncpg
import pytest

from stocksync.demo.microservice import StandIn
from stocksync.demo.postgres import PostgresServer
from tests.daemons import running_daemon
from tests.faults.conftest import until_completed
from tests.faults.pooler import find_pgbouncer, running_pgbouncer
from tests.outbox import Outbox
from tests.relaying import until, until_all
from tests.service import TOKEN_ID

PROGRAM = find_pgbouncer()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed")


@pytest.fixture
def pooled_dsn(dsn: str, postgres: PostgresServer) -> Iterator[str]:
    assert PROGRAM is not None
    with running_pgbouncer(PROGRAM, postgres_port=postgres.port) as port:
        yield dsn.replace(f":{postgres.port}/", f":{port}/")


async def test_with_a_direct_url_for_listening_it_is_woken(
    dsn: str, pooled_dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    with running_daemon(
        pooled_dsn,
        stand_in.url,
        DATABASE_PGBOUNCER="true",
        DATABASE_LISTEN_URL=dsn,
        # Nothing would be found by the poll within a test's patience.
        POLL_INTERVAL_SECONDS="600",
    ) as daemon:
        await daemon.until_logged("listener.listening")
        for count in range(1, 6):
            await outbox.insert(f"order-{count}", TOKEN_ID)
            await until(lambda: len(stand_in.record.received) == count)  # noqa: B023 - awaited here
        await until_all(outbox, "completed")
        assert not [e for e in daemon.events() if e["level"] in ("warning", "error")]


async def test_without_one_it_polls_and_says_so(
    pooled_dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    with running_daemon(pooled_dsn, stand_in.url, DATABASE_PGBOUNCER="true") as daemon:
        said = await daemon.until_logged("daemon.polls_only")
        assert "PGBOUNCER" in said["reason"]
        for _ in range(3):
            await outbox.insert_orders(50, units=2, token_id=TOKEN_ID)
            await until_all(outbox, "completed")
        assert not [e for e in daemon.events() if e["level"] in ("warning", "error")]
        assert (
            await outbox.connection.fetchval("SELECT is_listening FROM stock_sync_daemons") is None
        )
    assert stand_in.record.overlaps == []


async def test_the_database_behind_it_restarts(
    dsn: str, pooled_dsn: str, postgres: PostgresServer, stand_in: StandIn
) -> None:
    with running_daemon(pooled_dsn, stand_in.url, DATABASE_PGBOUNCER="true") as daemon:
        await daemon.until_logged("daemon.started")
        for _ in range(2):
            connection = await asyncpg.connect(dsn)
            await Outbox(connection).insert_orders(20, token_id=TOKEN_ID)
            connection.terminate()
            postgres.restart("fast")
        await until_completed(dsn, 40)
        assert not [e for e in daemon.events() if e["level"] == "error"]
    assert stand_in.record.overlaps == []
