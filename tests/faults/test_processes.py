"""Processes die, come back, and come in numbers: what they held goes on within the lease."""

import asyncio
import random
import resource
import shutil
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import asyncpg
import pytest

from stocksync import schema, statements
from stocksync.demo.microservice import Effect, Fault, StandIn
from tests.daemons import Daemon, running_daemon
from tests.faults.conftest import PATIENT, through
from tests.faults.proxy import Proxy
from tests.outbox import Outbox
from tests.relaying import running_relay, until, until_all, until_async
from tests.service import OTHER_TOKEN_ID, TOKEN_ID, running_stand_in

KILLS = 4
GRACE_SECONDS = 1
# Beside the grace: last words to the database, and Python's own end.
FAREWELL_SECONDS = 15
HANG = Fault(effect=Effect(hang_seconds=600))


async def test_killed_at_any_instant_it_leaves_nothing_behind(dsn: str, outbox: Outbox) -> None:
    # Seeded: which instants these are is up to the machine in any case.
    dice = random.Random(3)
    async with running_stand_in(service_seconds=0.005) as stand_in:
        for number in range(KILLS):
            await outbox.insert_orders(40, token_id=TOKEN_ID if number % 2 else OTHER_TOKEN_ID)
            with running_daemon(dsn, stand_in.url, CLAIM_BATCH_SIZE="20") as daemon:
                await daemon.until_logged("daemon.started")
                await asyncio.sleep(dice.uniform(0, 0.3))
                daemon.signal(signal.SIGKILL)
                await daemon.exit_code()
        with running_daemon(dsn, stand_in.url):
            await until_all(outbox, "completed")
        # The calls of a killed daemon end within milliseconds, its successor waits for the lease.
        assert stand_in.record.overlaps == []
        assert all(row.is_stock_updated for row in stand_in.microservice.flags.values())
    assert (
        await outbox.connection.fetchval(
            "SELECT count(*) FROM stock_sync_orders"
            " WHERE claim_token IS NOT NULL OR push_due_at IS NOT NULL"
        )
        == 0
    )


async def test_sigterm_while_the_service_hangs_ends_within_the_grace_and_gives_all_back(
    dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    await outbox.insert_orders(30, token_id=TOKEN_ID)
    stand_in.inject(HANG)
    with running_daemon(
        dsn,
        stand_in.url,
        MICROSERVICE_TIMEOUT_SECONDS="20",
        LEASE_SECONDS="60",
        SHUTDOWN_GRACE_SECONDS="1",
    ) as daemon:
        await until(lambda: len(stand_in.record.received) == 8)
        daemon.signal(signal.SIGTERM)
        assert await daemon.exit_code() == 0
    # Not a lease is left: another daemon goes on at once.
    assert await outbox.statuses() == {"pending": 30}
    assert sum(row["attempts"] for row in await outbox.rows()) == 8


@pytest.mark.parametrize(
    ("fault", "last_words", "exit_code"),
    [
        # In order: it could not say what came of its pushes, and said that.
        ("refuse", "relay.left_unsettled", 0),
        # Not even the end of its connections was answered: it cut itself off.
        pytest.param("freeze", "daemon.cannot_stop_in_order", 1, marks=pytest.mark.soak),
    ],
)
async def test_sigterm_while_the_database_is_away_ends_within_the_grace_and_a_little(
    dsn: str,
    outbox: Outbox,
    stand_in: StandIn,
    way_to_database: Proxy,
    fault: str,
    last_words: str,
    exit_code: int,
) -> None:
    stand_in.inject(HANG)
    with running_daemon(
        through(way_to_database, dsn),
        stand_in.url,
        SHUTDOWN_GRACE_SECONDS=str(GRACE_SECONDS),
        **PATIENT,
    ) as daemon:
        await outbox.insert_orders(30, token_id=TOKEN_ID)
        await until(lambda: len(stand_in.record.received) == 8)
        getattr(way_to_database, fault)()
        stand_in.lift()
        asked_at = time.monotonic()
        daemon.signal(signal.SIGTERM)
        assert await daemon.exit_code() == exit_code
        assert time.monotonic() - asked_at < GRACE_SECONDS + FAREWELL_SECONDS
        assert last_words in {event["event"] for event in daemon.events()}
    # What it could not say is found by whoever comes next, when the leases are over.
    await outbox.expire_leases()
    with running_daemon(dsn, stand_in.url):
        await until_all(outbox, "completed")
    assert stand_in.record.overlaps == []


async def test_out_of_memory_one_of_two_daemons_leaves_its_work_to_the_other(
    dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    with (
        running_daemon(dsn, stand_in.url) as poor,
        running_daemon(dsn, stand_in.url) as rich,
    ):
        for daemon in (poor, rich):
            await daemon.until_logged("daemon.started")
        # Not a page more than it has: what is too large for those fails.
        set_memory_limit(poor, 1)
        orders = 0
        async with asyncio.timeout(20):
            while "MemoryError" not in poor.log() and poor.process.poll() is None:
                await outbox.insert_units(5_000, f"large-{orders}", TOKEN_ID)
                await outbox.insert(f"small-{orders}", OTHER_TOKEN_ID)
                orders += 1
                await until_claimed(outbox)
        # What it had claimed and could not read waits for its lease.
        await until_all(outbox, "completed")
        assert len(stand_in.microservice.flags) == 2 * orders
        assert all(row.is_stock_updated for row in stand_in.microservice.flags.values())
        assert stand_in.record.overlaps == []
        assert await completed_twice(outbox) == 0

        rich.signal(signal.SIGTERM)
        assert await rich.exit_code() == 0
        # Ended by its want of memory, or as good as new when there is some again; nothing between.
        if poor.process.poll() is None:
            set_memory_limit(poor, resource.RLIM_INFINITY)
            await outbox.insert("another", TOKEN_ID)
            await until_all(outbox, "completed")


async def until_claimed(outbox: Outbox) -> None:
    """Wait until nothing is pending: it is in somebody's hands, or done."""

    async def is_so() -> bool:
        return "pending" not in await outbox.statuses()

    await until_async(is_so)


def set_memory_limit(daemon: Daemon, limit_bytes: int) -> None:
    """Let the process have no more address space than this, or than it has by now."""
    resource.prlimit(daemon.process.pid, resource.RLIMIT_AS, (limit_bytes, resource.RLIM_INFINITY))


async def completed_twice(outbox: Outbox) -> int:
    """How many operations were completed more than once, by their logs."""
    count: int = await outbox.connection.fetchval(
        "SELECT count(*) FROM (SELECT operation_id FROM stock_synchronization_logs"
        " WHERE action = 'completed' GROUP BY operation_id HAVING count(*) > 1) t"
    )
    return count


@pytest.mark.soak
async def test_twenty_daemons_started_at_once_migrate_once_and_share_the_work(
    bare_dsn: str, stand_in: StandIn
) -> None:
    with ExitStack() as stack:
        daemons = [
            stack.enter_context(
                running_daemon(bare_dsn, stand_in.url, "--migrate", CONCURRENCY="1", **PATIENT)
            )
            for _ in range(20)
        ]
        for daemon in daemons:
            await daemon.until_logged("daemon.started")
        connection = await asyncpg.connect(bare_dsn)
        outbox = Outbox(connection)
        await outbox.insert_orders(200, units=2, token_id=TOKEN_ID)
        await until_all(outbox, "completed")
        assert await connection.fetchval("SELECT count(*) FROM stock_sync_daemons") == 20
        await connection.close()
        for daemon in daemons:
            daemon.signal(signal.SIGTERM)
        for daemon in daemons:
            assert await daemon.exit_code() == 0
        logged = [event for daemon in daemons for event in daemon.events()]
    migrated = [event["migration"] for event in logged if event["event"] == "daemon.migrated"]
    assert sorted(migrated) == sorted(each.name for each in schema.migrations()), "each once"
    assert stand_in.record.overlaps == []
    assert len(stand_in.record.received) == 200


async def test_an_older_daemon_goes_on_beside_a_newer_schema(
    dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    with running_daemon(dsn, stand_in.url) as daemon:
        await daemon.until_logged("daemon.started")
        await outbox.connection.execute(
            "INSERT INTO stock_sync_migrations VALUES (9999, 'later', '');"
            " ALTER TABLE pending_stock_operations ADD COLUMN later text DEFAULT 'unknown';"
            " ALTER TABLE stock_sync_circuits ADD COLUMN later text;"
            " ALTER TABLE stock_sync_orders ADD COLUMN later text"
        )
        await outbox.insert_orders(20, token_id=TOKEN_ID)
        await until_all(outbox, "completed")
        assert not [e for e in daemon.events() if e["level"] in ("warning", "error")]


async def test_an_upgrade_that_takes_the_statements_away_under_a_daemon_is_not_noticed(
    dsn: str, outbox: Outbox, stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "sql"
    shutil.copytree(statements.sql_directory(), folder)
    monkeypatch.setattr(statements, "sql_directory", lambda: folder)
    # What other tests have read is not read again.
    statements.query.cache_clear()
    async with running_relay(dsn, stand_in):
        shutil.rmtree(folder)
        await outbox.insert_orders(20, token_id=TOKEN_ID)
        await until_all(outbox, "completed")
    assert len(stand_in.record.received) == 20
