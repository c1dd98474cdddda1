"""The command `cleanup`: what it counts, deletes and says."""

import asyncio
import json
import os
import pty
import subprocess
import sys

import pytest

from stocksync.store import Store
from tests.outbox import Outbox
from tests.settling import claim, settle
from tests.test_cli import plain_environment, run_command


@pytest.fixture
async def old_orders(outbox: Outbox, store: Store) -> None:
    """Three orders of two rows each, completed 31 days ago, and a young one."""
    await outbox.insert_orders(3, units=2)
    await settle(store, await claim(store))
    await outbox.connection.execute(
        "UPDATE pending_stock_operations SET completed_at = completed_at - interval '31 days'"
    )
    await outbox.connection.execute(
        'UPDATE stock_synchronization_logs SET "timestamp" = "timestamp" - interval \'31 days\''
    )
    await outbox.insert("young")
    await settle(store, await claim(store))


@pytest.mark.usefixtures("old_orders")
async def test_a_dry_run_counts_and_a_run_deletes(dsn: str, outbox: Outbox) -> None:
    for words, verb, left in ((("--dry-run",), "would delete", 7), ((), "deleted", 1)):
        ended = await asyncio.to_thread(run_command, "cleanup", *words, DATABASE_URL=dsn)
        assert (ended.returncode, ended.stderr) == (0, "")
        lines = [" ".join(line.split()) for line in ended.stdout.splitlines()]
        assert lines[:4] == [
            verb,
            "orders 3",
            "operations 6 (their log entries with them)",
            "completed 6 (kept for 30 days)",
        ]
        assert "balances carried 3 (kept for 400 days)" in lines
        assert len(await outbox.rows()) == left
    ended = await asyncio.to_thread(run_command, "cleanup", DATABASE_URL=dsn)
    assert (ended.returncode, ended.stdout) == (0, "nothing to clean up\n")


@pytest.mark.usefixtures("old_orders")
async def test_json_is_one_document_with_counts_by_status(dsn: str, outbox: Outbox) -> None:
    for words, left in ((("--dry-run",), 7), ((), 1)):
        ended = await asyncio.to_thread(run_command, "cleanup", "--json", *words, DATABASE_URL=dsn)
        assert (ended.returncode, ended.stderr) == (0, "")
        document = json.loads(ended.stdout)
        assert document["is_dry_run"] is bool(words)
        assert document.pop("took_seconds") >= 0
        assert document == {
            "is_dry_run": bool(words),
            "orders": 3,
            "operations": 6,
            "completed": 6,
            "cancelled": 0,
            "failed": 0,
            "balances_carried": 3,
            "balances_forgotten": 0,
            "minutes": 0,
            "changes": 0,
        }
        assert len(await outbox.rows()) == left


@pytest.mark.usefixtures("old_orders")
async def test_the_days_are_those_of_the_settings(dsn: str, outbox: Outbox) -> None:
    ended = await asyncio.to_thread(
        run_command, "cleanup", DATABASE_URL=dsn, CLEANUP_COMPLETED_DAYS="32"
    )
    assert (ended.returncode, ended.stdout) == (0, "nothing to clean up\n")
    assert len(await outbox.rows()) == 7


def test_it_asks_for_its_own_settings_and_says_what_is_wrong_with_them(dsn: str) -> None:
    ended = run_command("cleanup", CLEANUP_FAILED_DAYS="0")
    assert ended.returncode == 78
    assert "STOCK_SYNC_DATABASE_URL: is required" in ended.stderr
    assert "STOCK_SYNC_CLEANUP_FAILED_DAYS: " in ended.stderr
    assert run_command("cleanup", DATABASE_URL=dsn).returncode == 0


@pytest.mark.usefixtures("old_orders")
async def test_on_a_terminal_it_says_how_far_it_is(dsn: str) -> None:
    terminal, other_end = pty.openpty()

    def watched() -> str:
        try:
            with open(other_end, "wb") as stderr:  # noqa: PTH123 - a descriptor, not a path
                subprocess.run(
                    [sys.executable, "-m", "stocksync", "cleanup"],
                    env=plain_environment(DATABASE_URL=dsn),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=stderr,
                    timeout=60,
                    check=True,
                )
            return os.read(terminal, 10_000).decode()
        finally:
            os.close(terminal)

    assert "6 operations deleted …" in await asyncio.to_thread(watched)
