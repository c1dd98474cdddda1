"""Bulk retry and cancel: counted first, done with --yes, in batches, never more than was asked."""

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
import time

import asyncpg
import pytest

from stocksync.database import Database
from stocksync.operations import Bulk, Operations
from stocksync.store import Store
from tests.outbox import ACCOUNT, OTHER_ACCOUNT, Outbox, account
from tests.settling import REFUSED, claim, settle
from tests.test_cli import plain_environment, redirected, run_command, with_a_reader_gone

BY = "anna@desk"
VERBS = pytest.mark.parametrize("verb", ["retry", "cancel"])
BECOMES = {"retry": "pending", "cancel": "cancelled"}


@pytest.fixture
def bulk(database: Database) -> Bulk:
    return Bulk(database=database, batch_rows=10, page_rows=25)


@pytest.fixture
async def failures(outbox: Outbox) -> None:
    """Seventy failed, of two accounts, for three reasons; and one of each other status."""
    await fail(outbox, 40, "422 sku: unknown")
    await fail(outbox, 20, "422 100 % wrong_order", OTHER_ACCOUNT)
    await fail(outbox, 10, "500 Internal Server Error", OTHER_ACCOUNT)
    for status in ("pending", "processing", "completed", "cancelled"):
        await outbox.insert(status)
        await outbox.connection.execute(
            "UPDATE pending_stock_operations SET status = $1, error_message = '422',"
            " completed_at = CASE $1 WHEN 'completed' THEN now() END,"
            " claim_token = CASE $1 WHEN 'processing' THEN gen_random_uuid() END,"
            " claim_no = CASE $1 WHEN 'processing' THEN 1 END,"
            " lease_until = CASE $1 WHEN 'processing' THEN now() + interval '1 hour' END"
            " WHERE order_id = $1",
            status,
        )


async def fail(outbox: Outbox, count: int, error: str | None, token_id: str = ACCOUNT) -> None:
    """Insert so many, each an order of its own, that failed for this reason."""
    await outbox.connection.execute(
        "INSERT INTO pending_stock_operations (token_id, order_id, sku, quantity, allegro_order_id)"
        " SELECT $1, coalesce($3, '-') || n, 'A-1', 1, 'new' FROM generate_series(1, $2) n",
        token_id,
        count,
        error,
    )
    await outbox.connection.execute(
        "UPDATE pending_stock_operations SET status = 'failed', error_message = $1,"
        " retry_count = 3, updated_at = clock_timestamp(), allegro_order_id = NULL"
        " WHERE allegro_order_id = 'new'",
        error,
    )


async def statuses(outbox: Outbox, error: str) -> dict[str, int]:
    """Of those that failed for this reason, whatever became of them."""
    rows = await outbox.connection.fetch(
        "SELECT status, count(*) AS n FROM pending_stock_operations"
        " WHERE starts_with(order_id, $1) GROUP BY status",
        error,
    )
    return {row["status"]: row["n"] for row in rows}


def started(*words: str, **settings: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "stocksync", *words],
        env=plain_environment(**settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def nobody(_: int) -> None:
    """Nobody listens."""


# --- what is counted -----------------------------------------------------------------------------


@pytest.mark.usefixtures("failures")
async def test_what_failed_is_counted_by_account_and_by_error(bulk: Bulk) -> None:
    failed = await bulk.count()
    assert failed.count == 70
    assert [(each.name, each.count) for each in failed.accounts] == [
        (ACCOUNT, 40),
        (OTHER_ACCOUNT, 30),
    ]
    assert [(each.name, each.count) for each in failed.errors] == [
        ("422 sku: unknown", 40),
        ("422 100 % wrong_order", 20),
        ("500 Internal Server Error", 10),
    ]


@pytest.mark.usefixtures("failures")
@pytest.mark.parametrize(
    ("token_id", "error", "count"),
    [
        (OTHER_ACCOUNT, None, 30),
        (None, "422", 60),
        (OTHER_ACCOUNT, "422", 20),
        (account(99), None, 0),
        # Literally: no pattern of LIKE, no regular expression, no change of case.
        (None, "100 % wrong", 20),
        (None, "4%2", 0),
        (None, "wrong_order", 20),
        (None, "wrongxorder", 0),
        (None, "5..", 0),
        (None, "internal", 0),
    ],
)
async def test_an_error_is_looked_for_as_it_is_written(
    bulk: Bulk, token_id: str | None, error: str | None, count: int
) -> None:
    failed = await bulk.count(token_id=token_id, error=error)
    assert failed.count == sum(each.count for each in failed.errors) == count
    assert await bulk.retry(failed, by=BY, on_progress=nobody) == count


async def test_of_many_accounts_and_errors_the_most_frequent_ten_are_named(
    bulk: Bulk, outbox: Outbox
) -> None:
    for n in range(1, 13):
        await fail(outbox, n, f"error {n:02}", account(n))
    failed = await bulk.count()
    assert (failed.count, failed.account_count, failed.error_count) == (78, 12, 12)
    assert [each.count for each in failed.accounts] == list(range(12, 2, -1))
    assert [each.name for each in failed.errors] == [f"error {n:02}" for n in range(12, 2, -1)]


async def test_a_failure_without_a_word_counts_too(bulk: Bulk, outbox: Outbox) -> None:
    await fail(outbox, 2, None)
    failed = await bulk.count()
    assert [(each.name, each.count) for each in failed.errors] == [(None, 2)]
    assert await bulk.cancel(failed, by=BY, on_progress=nobody) == 2


# --- what is changed -----------------------------------------------------------------------------


@VERBS
@pytest.mark.usefixtures("failures")
async def test_all_that_matches_is_changed_in_batches_and_nothing_else(
    bulk: Bulk, outbox: Outbox, verb: str
) -> None:
    before = await outbox.statuses()
    failed = await bulk.count(error="422")
    told: list[int] = []
    assert await getattr(bulk, verb)(failed, by=BY, on_progress=told.append) == 60
    # Pages of 25 ids, batches of ten.
    assert told == [10, 20, 25, 35, 45, 50, 60]
    after = await outbox.statuses()
    assert after["failed"] == before["failed"] - 60
    assert after[BECOMES[verb]] == before[BECOMES[verb]] + 60
    assert {s: after[s] for s in ("processing", "completed")} == {"processing": 1, "completed": 1}
    changed = [
        row
        for row in await outbox.rows()
        if row["order_id"].startswith("422") and row["status"] == BECOMES[verb]
    ]
    assert len(changed) == 60
    for row in changed[:3]:
        [action] = await outbox.actions(row["id"])
        assert action == {"retry": "manual_retry", "cancel": "cancelled"}[verb]
    if verb == "retry":
        assert {(row["retry_count"], row["error_message"]) for row in changed} == {(0, None)}
    else:
        orders = "SELECT count(*) FROM stock_sync_orders WHERE push_due_at <= now()"
        assert await outbox.connection.fetchval(orders) == 60


async def test_by_whose_hand_and_why_is_in_the_log(
    bulk: Bulk, outbox: Outbox, database: Database
) -> None:
    await fail(outbox, 1, "422")
    [row] = await outbox.rows()
    failed = await bulk.count()
    await bulk.cancel(failed, by=BY, reason="never sold", on_progress=nobody)
    entry = (await Operations(database=database).show(row["id"])).history[-1]
    assert entry.details == {"by": BY, "reason": "never sold"}


@VERBS
async def test_what_failed_after_the_count_is_passed_over(
    bulk: Bulk, outbox: Outbox, verb: str
) -> None:
    await fail(outbox, 3, "before")
    failed = await bulk.count()
    await fail(outbox, 2, "after")
    assert await getattr(bulk, verb)(failed, by=BY, on_progress=nobody) == 3
    assert await statuses(outbox, "before") == {BECOMES[verb]: 3}
    assert await statuses(outbox, "after") == {"failed": 2}


async def test_what_fails_again_during_the_run_is_not_retried_once_more(
    bulk: Bulk, outbox: Outbox, store: Store
) -> None:
    await fail(outbox, 30, "422")
    failed = await bulk.count()
    settled = asyncio.Event()

    async def fail_again() -> None:
        """What the first batch made due is claimed, and refused once more."""
        await settle(store, await claim(store), REFUSED)
        settled.set()

    failing: list[asyncio.Task[None]] = []

    def on_progress(changed: int) -> None:
        if changed == 10:
            failing.append(asyncio.create_task(fail_again()))

    assert await bulk.retry(failed, by=BY, on_progress=on_progress) == 30
    await failing[0]
    again = [row for row in await outbox.rows() if row["status"] == "failed"]
    assert again
    for row in again:
        assert (await outbox.actions(row["id"])).count("manual_retry") == 1


@VERBS
async def test_a_row_that_somebody_holds_is_passed_over_and_holds_up_nobody(
    bulk: Bulk, outbox: Outbox, dsn: str, verb: str
) -> None:
    await fail(outbox, 12, "422")
    held = (await outbox.rows())[4]["id"]
    failed = await bulk.count()
    another = await asyncpg.connect(dsn)
    try:
        async with another.transaction():
            await another.fetch(
                "SELECT id FROM pending_stock_operations WHERE id = $1 FOR UPDATE", held
            )
            async with asyncio.timeout(30):
                assert await getattr(bulk, verb)(failed, by=BY, on_progress=nobody) == 11
    finally:
        await another.close()
    assert (await outbox.row(held))["status"] == "failed"


async def test_a_claim_waits_for_one_batch_at_most(
    bulk: Bulk, outbox: Outbox, store: Store
) -> None:
    """Between two batches the lock is free: a daemon's claim comes through."""
    await fail(outbox, 1000, "422")
    failed = await bulk.count()
    changed: list[int] = []
    claiming: list[asyncio.Task[list[object]]] = []
    claimed_after: list[int] = []

    async def claim_now() -> list[object]:
        pushes: list[object] = list(await claim(store, 1))
        claimed_after.append(changed[-1])
        return pushes

    def on_progress(so_far: int) -> None:
        changed.append(so_far)
        if not claiming:
            claiming.append(asyncio.create_task(claim_now()))

    await bulk.retry(failed, by=BY, on_progress=on_progress)
    assert await claiming[0]
    assert claimed_after[0] < 1000


async def test_an_interrupted_run_says_what_it_has_done(bulk: Bulk, outbox: Outbox) -> None:
    await fail(outbox, 50, "422")
    failed = await bulk.count()
    told: list[int] = []

    def on_progress(changed: int) -> None:
        told.append(changed)
        if changed == 20:
            running.cancel()

    running = asyncio.create_task(bulk.retry(failed, by=BY, on_progress=on_progress))
    with pytest.raises(asyncio.CancelledError):
        await running
    # What had begun was finished.
    assert 20 <= told[-1] <= 30
    assert await outbox.statuses() == {"failed": 50 - told[-1], "pending": told[-1]}


# --- the command ---------------------------------------------------------------------------------


@VERBS
@pytest.mark.usefixtures("failures")
async def test_without_yes_it_only_counts_and_says_what_would_do_it(
    dsn: str, outbox: Outbox, verb: str
) -> None:
    before = await outbox.rows()
    words = [verb, "--failed", "--error", "422 100 % wrong", "--token", OTHER_ACCOUNT]
    ended = await asyncio.to_thread(run_command, *words, DATABASE_URL=dsn)
    assert (ended.returncode, ended.stderr) == (2, "")
    head, *lines = ended.stdout.splitlines()
    assert head == (
        f"20 operations of the account {OTHER_ACCOUNT} with '422 100 % wrong' in its error failed"
    )
    assert [line.split() for line in lines[:2]] == [
        ["account", "20", "×", OTHER_ACCOUNT],
        ["error", "20", "×", "422", "100", "%", "wrong_order"],
    ]
    command = f"stocksync {verb} --failed --token {OTHER_ACCOUNT} --error '422 100 % wrong' --yes"
    assert lines[2:] == ["", "nothing was changed; this does it:", f"  {command}"]
    assert await outbox.rows() == before

    ended = await asyncio.to_thread(run_command, *words, "--json", DATABASE_URL=dsn)
    assert (ended.returncode, ended.stderr) == (2, "")
    assert json.loads(ended.stdout) == {
        "is_done": False,
        "counted": 20,
        "changed": 0,
        "accounts": [{"token_id": OTHER_ACCOUNT, "count": 20}],
        "errors": [{"error": "422 100 % wrong_order", "count": 20}],
        "command": command,
    }
    assert await outbox.rows() == before


@pytest.mark.usefixtures("failures")
async def test_the_command_that_it_names_does_it(dsn: str, outbox: Outbox) -> None:
    words = ["cancel", "--failed", "--error", "500 ", "--reason", "it's over", "--json"]
    asked = await asyncio.to_thread(run_command, *words, DATABASE_URL=dsn)
    command = json.loads(asked.stdout)["command"]
    ended = await asyncio.to_thread(
        subprocess.run,
        command.replace("stocksync", f"{sys.executable} -m stocksync", 1),
        shell=True,
        env=plain_environment(DATABASE_URL=dsn),
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.endswith("\n10 operations cancelled; their orders are pushed again\n")
    assert await statuses(outbox, "500") == {"cancelled": 10}


@pytest.mark.usefixtures("failures")
async def test_with_yes_it_counts_and_does_it(dsn: str, outbox: Outbox) -> None:
    ended = await asyncio.to_thread(
        run_command, "retry", "--failed", "--error", "422", "--yes", DATABASE_URL=dsn
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("60 operations with '422' in its error failed\n  account ")
    assert ended.stdout.endswith("\n\n60 operations due now\n")
    ended = await asyncio.to_thread(
        run_command, "retry", "--failed", "--yes", "--json", DATABASE_URL=dsn
    )
    document = json.loads(ended.stdout)
    assert (document["is_done"], document["counted"], document["changed"]) == (True, 10, 10)
    assert document["command"] is None
    assert "failed" not in await outbox.statuses()


async def test_it_is_done_though_its_reader_is_gone(dsn: str, outbox: Outbox) -> None:
    await fail(outbox, 5, "422")
    ended = await asyncio.to_thread(
        with_a_reader_gone, "retry", "--failed", "--yes", DATABASE_URL=dsn
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert await outbox.statuses() == {"pending": 5}


async def test_it_is_done_though_nobody_can_be_told(dsn: str, outbox: Outbox) -> None:
    await fail(outbox, 5, "422")
    ended = await asyncio.to_thread(
        redirected, ">/dev/full", "retry", "--failed", "--yes", DATABASE_URL=dsn
    )
    assert (ended.returncode, len(ended.stderr.splitlines())) == (1, 1)
    assert await outbox.statuses() == {"pending": 5}


@pytest.mark.parametrize("words", [(), ("--yes",)])
async def test_when_nothing_failed_there_is_nothing_to_do(dsn: str, words: tuple[str]) -> None:
    ended = await asyncio.to_thread(run_command, "retry", "--failed", *words, DATABASE_URL=dsn)
    assert (ended.returncode, ended.stdout) == (0, "no operation has failed\n")
    ended = await asyncio.to_thread(
        run_command, "cancel", "--failed", "--json", *words, DATABASE_URL=dsn
    )
    assert (ended.returncode, json.loads(ended.stdout)["counted"]) == (0, 0)


@pytest.fixture
async def slow_to_log(outbox: Outbox) -> None:
    """Each batch takes a while: there is time to interrupt one."""
    await outbox.connection.execute(
        "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END $$;"
        "CREATE TRIGGER slowly AFTER INSERT ON stock_synchronization_logs"
        " FOR EACH STATEMENT EXECUTE FUNCTION slowly()"
    )


@pytest.mark.usefixtures("slow_to_log")
async def test_ctrl_c_ends_it_between_two_batches_and_says_what_was_done(
    dsn: str, outbox: Outbox
) -> None:
    await fail(outbox, 5000, "422")

    async def has_begun() -> bool:
        return (await outbox.statuses()).get("pending", 0) > 0

    process = started("retry", "--failed", "--yes", "--json", DATABASE_URL=dsn)
    async with asyncio.timeout(60):
        while not await has_begun():
            await asyncio.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.to_thread(process.communicate, timeout=60)
    assert (process.returncode, err) == (130, "")
    changed = json.loads(out)["changed"]
    assert 0 < changed < 5000
    assert await outbox.statuses() == {"failed": 5000 - changed, "pending": changed}


@pytest.mark.usefixtures("slow_to_log")
@pytest.mark.parametrize("words", [[], ["--json"]])
async def test_a_database_that_is_lost_is_69_also_when_the_reader_is_gone(
    dsn: str, outbox: Outbox, words: list[str]
) -> None:
    await fail(outbox, 5000, "422")
    running = asyncio.create_task(
        asyncio.to_thread(
            with_a_reader_gone, "retry", "--failed", "--yes", *words, DATABASE_URL=dsn
        )
    )
    async with asyncio.timeout(60):
        while not (await outbox.statuses()).get("pending", 0):
            await asyncio.sleep(0.01)
    await outbox.connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'stocksync'"
    )
    ended = await running
    assert ended.returncode == 69
    assert "Traceback" not in ended.stderr


@pytest.mark.usefixtures("slow_to_log")
async def test_on_a_terminal_a_long_run_shows_how_far_it_is(dsn: str, outbox: Outbox) -> None:
    await fail(outbox, 1500, "422")
    controller, terminal = pty.openpty()
    program = (
        "import sys, stocksync.cli.progress as p; p.QUIET_SECONDS = 0;"
        "from stocksync.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program, "retry", "--failed", "--yes"],
        env=plain_environment(DATABASE_URL=dsn),
        stdout=subprocess.PIPE,
        stderr=terminal,
        text=True,
        check=True,
    )
    said = os.read(controller, 10_000).decode()
    os.close(terminal)
    os.close(controller)
    assert said.split("\r")[1:4] == [
        f"{n} of 1500 …".ljust(w) for n, w in ((500, 13), (1000, 14), (1500, 14))
    ]
    assert ended.stdout.endswith("1500 operations due now\n")


async def test_ten_thousand_take_seconds(dsn: str, outbox: Outbox) -> None:
    """100,000 took 5 s on two busy cores; a test may have a slower machine."""
    await fail(outbox, 10_000, "422")
    began_at = time.monotonic()
    ended = await asyncio.to_thread(run_command, "retry", "--failed", "--yes", DATABASE_URL=dsn)
    assert ended.stdout.endswith("10000 operations due now\n")
    assert time.monotonic() - began_at < 20
    assert await outbox.statuses() == {"pending": 10_000}
