"""The daemon as a process: starts, waits, refuses, drains, stops."""

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from stocksync import schema
from stocksync.demo.microservice import Effect, Fault, StandIn
from stocksync.demo.postgres import PostgresServer
from tests.daemons import running_daemon
from tests.importing import imported
from tests.outbox import Outbox
from tests.relaying import until, until_all, until_async
from tests.service import SECRET, TOKEN_ID, running_stand_in


@pytest.fixture
async def stand_in() -> AsyncIterator[StandIn]:
    async with running_stand_in() as stand_in:
        yield stand_in


async def test_sigterm_finishes_what_is_in_flight_gives_back_the_rest_and_exits_0(
    dsn: str, outbox: Outbox
) -> None:
    async with running_stand_in(service_seconds=0.1) as stand_in:
        await outbox.insert_orders(60, token_id=TOKEN_ID)
        with running_daemon(dsn, stand_in.url, CONCURRENCY="2") as daemon:
            await until(lambda: len(stand_in.record.received) >= 4)
            daemon.signal(signal.SIGTERM)
            assert await daemon.exit_code() == 0
        statuses = await outbox.statuses()
        assert statuses["completed"] == len(stand_in.record.received)
        assert statuses.keys() == {"completed", "pending"}
        assert await outbox.connection.fetchval("SELECT count(*) FROM stock_sync_daemons") == 0


async def test_a_second_signal_stops_at_once(dsn: str, outbox: Outbox, stand_in: StandIn) -> None:
    stand_in.inject(Fault(effect=Effect(hang_seconds=30)))
    await outbox.insert("order", TOKEN_ID)
    with running_daemon(
        dsn, stand_in.url, MICROSERVICE_TIMEOUT_SECONDS="25", LEASE_SECONDS="50"
    ) as daemon:
        await until(lambda: len(stand_in.record.received) == 1)
        daemon.signal(signal.SIGINT)
        await daemon.until_logged("daemon.stopping")
        assert daemon.process.poll() is None
        daemon.signal(signal.SIGINT)
        assert await daemon.exit_code() == 1


async def test_sigterm_while_idle_and_while_waiting_for_the_database_exits_0(
    dsn: str, stand_in: StandIn
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        away = f"postgresql://postgres@127.0.0.1:{nobody.getsockname()[1]}/x"
        nobody.close()
        with (
            running_daemon(dsn, stand_in.url) as idle,
            running_daemon(away, stand_in.url) as waiting,
        ):
            await idle.until_logged("daemon.started")
            await waiting.until_logged("database.unavailable")
            for daemon in (idle, waiting):
                daemon.signal(signal.SIGTERM)
                assert await daemon.exit_code() == 0


async def test_it_waits_for_a_database_that_is_not_up_yet(stand_in: StandIn) -> None:
    with PostgresServer(durable=False) as server:
        server.stop()
        with running_daemon(server.dsn(), stand_in.url, "--migrate") as daemon:
            await daemon.until_logged("database.unavailable")
            server.start()
            await daemon.until_logged("daemon.started")
            unavailable = [e for e in daemon.events() if e["event"].startswith("database.")]
            assert [e["event"] for e in unavailable] == [
                "database.unavailable",
                "database.available",
            ]


async def test_a_missing_schema_exits_78_and_says_what_to_run(
    empty_dsn: str, stand_in: StandIn
) -> None:
    with running_daemon(empty_dsn, stand_in.url) as daemon:
        assert await daemon.exit_code() == 78
        assert "run `stocksync migrate`" in daemon.log()
        assert "Traceback" not in daemon.log()


async def test_a_newer_schema_exits_78(dsn: str, outbox: Outbox, stand_in: StandIn) -> None:
    await outbox.connection.execute("INSERT INTO stock_sync_migrations VALUES (9999, 'later', '')")
    with running_daemon(dsn, stand_in.url) as daemon:
        assert await daemon.exit_code() == 78
        assert "newer than this stocksync" in daemon.log()


async def test_migrate_first_makes_the_tables_and_goes_on(
    empty_dsn: str, stand_in: StandIn
) -> None:
    with running_daemon(empty_dsn, stand_in.url, "--migrate") as daemon:
        await daemon.until_logged("daemon.started")
        migrated = [e["migration"] for e in daemon.events() if e["event"] == "daemon.migrated"]
        assert migrated == [m.name for m in schema.migrations()]


async def test_no_secret_is_in_the_log(dsn: str, outbox: Outbox, stand_in: StandIn) -> None:
    stand_in.inject(Fault(effect=Effect(status=500, content=f"oops {SECRET}"), first=1))
    await outbox.insert("order", TOKEN_ID)
    with running_daemon(dsn, stand_in.url, LOG_LEVEL="debug") as daemon:
        await until_all(outbox, "completed")
        daemon.signal(signal.SIGTERM)
        assert await daemon.exit_code() == 0
        assert SECRET not in daemon.log()
        assert "eyJ" not in daemon.log()
    logged = await outbox.connection.fetch("SELECT details FROM stock_synchronization_logs")
    assert SECRET not in json.dumps([row["details"] for row in logged])


async def test_killed_in_the_middle_of_a_drain_another_completes_everything_once_at_a_time(
    dsn: str, outbox: Outbox
) -> None:
    async with running_stand_in(service_seconds=0.005) as stand_in:
        await outbox.insert_orders(200, units=3, token_id=TOKEN_ID)
        with running_daemon(dsn, stand_in.url) as daemon:
            await until(lambda: len(stand_in.record.received) >= 40)
            daemon.signal(signal.SIGKILL)
            await daemon.exit_code()
        in_flight = (await outbox.statuses())["processing"]
        assert in_flight > 0
        with running_daemon(dsn, stand_in.url):
            await until_all(outbox, "completed")
        assert stand_in.record.overlaps == []
        assert len(stand_in.microservice.flags) == 200
        assert all(row.is_stock_updated for row in stand_in.microservice.flags.values())
        ambiguous = await outbox.connection.fetchval(
            "SELECT count(*) FROM stock_sync_orders WHERE ambiguous_at IS NOT NULL"
        )
        assert ambiguous == in_flight / 3, "what it held may still be applied"


async def test_two_daemons_share_the_work_and_never_push_an_order_at_once(
    dsn: str, outbox: Outbox
) -> None:
    async with running_stand_in(service_seconds=0.002) as stand_in:
        with running_daemon(dsn, stand_in.url) as one, running_daemon(dsn, stand_in.url) as two:
            for daemon in (one, two):
                await daemon.until_logged("daemon.started")
            for _ in range(5):
                await outbox.insert_orders(100, units=2, token_id=TOKEN_ID)
                await asyncio.sleep(0.1)
            await until_all(outbox, "completed")
            for daemon in (one, two):
                daemon.signal(signal.SIGTERM)
                assert await daemon.exit_code() == 0
            shares = [
                (await daemon.until_logged("daemon.stopped"))["proven"] for daemon in (one, two)
            ]
        assert min(shares) > 0
        assert stand_in.record.overlaps == []


async def test_the_database_restarts_under_it_and_nothing_is_lost(stand_in: StandIn) -> None:
    with (
        PostgresServer() as server,
        running_daemon(server.dsn(), stand_in.url, "--migrate") as daemon,
    ):
        await daemon.until_logged("daemon.started")
        for mode in ("fast", "immediate"):
            connection = await asyncpg.connect(server.dsn())
            await Outbox(connection).insert_orders(50, token_id=TOKEN_ID)
            server.restart(mode)
            connection.terminate()

            async def all_completed() -> bool:
                try:
                    again = await asyncpg.connect(server.dsn())
                    statuses = await Outbox(again).statuses()
                    await again.close()
                except (OSError, asyncpg.PostgresError):
                    return False
                return statuses.keys() == {"completed"}

            await until_async(all_completed)
        lost = [e for e in daemon.events() if e["event"] == "database.unavailable"]
        assert len(lost) <= 2, "one line an outage"


async def test_sigterm_during_the_start_exits_0_and_leaves_no_trace(
    dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    async with outbox.connection.transaction():
        # The first beat waits: the daemon is in the middle of its start.
        await outbox.connection.execute("LOCK stock_sync_daemons")
        with running_daemon(dsn, stand_in.url) as daemon:
            await daemon.until_logged("daemon.starting")

            async def it_waits() -> bool:
                return bool(
                    await outbox.connection.fetchval(
                        "SELECT count(*) FROM pg_locks WHERE NOT granted"
                        " AND relation = 'stock_sync_daemons'::regclass"
                    )
                )

            await until_async(it_waits)
            daemon.signal(signal.SIGTERM)
            await daemon.until_logged("daemon.stopping")
            await outbox.connection.execute("SAVEPOINT nothing")
            await outbox.connection.execute("ROLLBACK TO SAVEPOINT nothing")
            await outbox.connection.execute("COMMIT")
            assert await daemon.exit_code() == 0
            assert "Traceback" not in daemon.log()
            await outbox.connection.execute("BEGIN")
    assert await outbox.connection.fetchval("SELECT count(*) FROM stock_sync_daemons") == 0


async def test_sigterm_with_a_frozen_database_ends_all_the_same(stand_in: StandIn) -> None:
    with PostgresServer(durable=False, tcp=True) as server:
        frozen = asyncio.Event()
        writers: list[asyncio.StreamWriter] = []

        async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(65536):
                if frozen.is_set():
                    return
                writer.write(data)

        async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there, back = await asyncio.open_connection("127.0.0.1", server.port)
            writers.extend((writer, back))
            await asyncio.gather(forward(reader, back), forward(there, writer))

        proxy = await asyncio.start_server(pass_on, "127.0.0.1", 0)
        port = proxy.sockets[0].getsockname()[1]
        url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        with running_daemon(url, stand_in.url, "--migrate", SHUTDOWN_GRACE_SECONDS="1") as daemon:
            await daemon.until_logged("daemon.started")
            frozen.set()
            daemon.signal(signal.SIGTERM)
            # Its grace, and ten seconds for the rest.
            await daemon.exit_code()
        for writer in writers:
            writer.close()
        proxy.close()


def test_the_first_push_waits_for_nothing_that_it_does_not_need() -> None:
    late = ("aiohttp", "aiogram", "matplotlib", "stocksync.web.connections", "stocksync.demo")
    assert imported("import stocksync.cli.running", *late) == set()


async def test_what_answers_over_http_is_loaded_before_anybody_asks(
    dsn: str, stand_in: StandIn
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with running_daemon(dsn, stand_in.url, HTTP_PORT=str(port)) as daemon:
        libraries = Path(f"/proc/{daemon.process.pid}/maps")
        await until(lambda: "/aiohttp/" in libraries.read_text())


async def test_it_answers_over_http_from_its_start_to_its_end(dsn: str, outbox: Outbox) -> None:
    async with running_stand_in() as stand_in:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with running_daemon(dsn, stand_in.url, HTTP_PORT=str(port)) as daemon:
            await daemon.until_logged("daemon.started")
            await outbox.insert(token_id=TOKEN_ID)
            await until_all(outbox, "completed")
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
                assert (await client.get("/healthz")).status_code == 200
                assert (await client.get("/readyz")).status_code == 200
                metrics = (await client.get("/metrics")).text
                assert 'stocksync_pushes_total{outcome="proven"} 1.0' in metrics
            with running_daemon(dsn, stand_in.url, HTTP_PORT=str(port)) as other:
                assert await other.exit_code() == 78
                assert "HTTP_PORT" in other.log()
            daemon.signal(signal.SIGTERM)
            assert await daemon.exit_code() == 0


async def test_systemd_hears_that_it_is_ready_that_it_gets_on_and_that_it_stops(
    dsn: str, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)

        async def until_heard(word: str) -> None:
            while await asyncio.to_thread(manager.recv, 4096) != word.encode():
                pass

        systemd = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "2000000"}
        async with running_stand_in() as stand_in:
            with running_daemon(dsn, stand_in.url, **systemd) as daemon:
                await until_heard("READY=1")
                for _ in range(3):
                    await until_heard("WATCHDOG=1")
                daemon.signal(signal.SIGTERM)
                await until_heard("STOPPING=1")
                assert await daemon.exit_code() == 0
