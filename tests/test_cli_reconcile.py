"""The command `reconcile`: what it compares, repairs and says, and its exit codes."""

import asyncio
import json
import os
import pty
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import datetime

import pytest

from stocksync.database import Database
from stocksync.demo.microservice.faults import Effect, Fault, Matches
from stocksync.reconcile.comparison import CHUNK
from tests.outbox import Outbox
from tests.reconciling import Sides, both_sides
from tests.service import OTHER_TOKEN_ID, SECRET, TOKEN_ID, USER_ID, running_stand_in
from tests.test_cli import plain_environment, run_command


@pytest.fixture
async def sides(dsn: str, outbox: Outbox, database: Database) -> AsyncIterator[Sides]:
    async with (
        running_stand_in() as stand_in,
        both_sides(dsn, outbox, stand_in, database) as sides,
    ):
        yield sides


def settings_of(sides: Sides) -> dict[str, str]:
    return {
        "DATABASE_URL": sides.dsn,
        "MICROSERVICE_URL": sides.stand_in.url,
        "MICROSERVICE_JWT_SECRET": SECRET,
        "MICROSERVICE_JWT_USER_ID": USER_ID,
    }


async def reconcile(sides: Sides, *words: str) -> "subprocess.CompletedProcess[str]":
    return await asyncio.to_thread(run_command, "reconcile", *words, **settings_of(sides))


async def test_it_repairs_what_is_young_leaves_what_is_old_and_shows_both(sides: Sides) -> None:
    await sides.settle("young", "old", "right")
    await sides.pass_time(30, "old")
    sides.flip("young", "old")
    ended = await reconcile(sides)
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in ended.stdout.splitlines()]
    assert lines[0] == "ORDER ACCOUNT WANTED AT SERVICE SETTLED (UTC) DONE"
    for order_id, done in (("young", "pushed again"), ("old", "left: older than 24 h")):
        [line] = [line for line in lines if line.startswith(order_id)]
        assert line.startswith(f"{order_id} {TOKEN_ID} true false 20")
        assert line.endswith(done)
    assert "checked 3" in lines
    assert "found 2" in lines
    await sides.push_all()
    assert sides.flag("young")
    assert not sides.flag("old")
    # By whose hand it was.
    [entry] = await sides.entries("reconciled")
    assert "@" in json.loads(entry)["by"]


async def test_nothing_wrong_is_said_in_numbers(sides: Sides) -> None:
    await sides.settle("right")
    ended = await reconcile(sides)
    lines = [line.split() for line in ended.stdout.splitlines()]
    assert (ended.returncode, lines) == (0, [["checked", "1"], ["found", "0"]])


async def test_a_dry_run_changes_nothing_here_and_says_what_would_be_done(sides: Sides) -> None:
    await sides.settle("order")
    sides.flip("order")
    before = await sides.dump()
    ended = await reconcile(sides, "--dry-run")
    assert ended.returncode == 0
    assert "would be pushed again" in ended.stdout
    assert await sides.dump() == before


async def test_json_is_one_document_with_counts_and_discrepancies(sides: Sides) -> None:
    await sides.settle("order", "other")
    await sides.settle("order", token_id=OTHER_TOKEN_ID)
    sides.flip("order")
    ended = await reconcile(sides, "--json", "--token", TOKEN_ID.upper())
    assert (ended.returncode, ended.stderr) == (0, "")
    document = json.loads(ended.stdout)
    [found] = document.pop("discrepancies")
    assert document == {
        "checked": 2,
        "found": 1,
        "repaired": 1,
        "left": 0,
        "given_up": 0,
        "skipped": 0,
        "not_reached": 0,
        "is_dry_run": False,
        "ended_early": None,
    }
    assert datetime.fromisoformat(found.pop("settled_at")).tzinfo is not None
    assert found == {
        "token_id": TOKEN_ID,
        "order_id": "order",
        "wanted": True,
        "found": False,
        "act": "repaired",
    }


async def test_a_service_that_cannot_be_believed_is_69_and_says_after_how_many(
    sides: Sides,
) -> None:
    orders = [f"order-{n:03}" for n in range(CHUNK + 1)]
    await sides.settle(*orders)
    sides.flip("order-000")
    # The last order is read last. While its answer is waited for, the service goes.
    matches = Matches(route="technical_flags", order_id=orders[-1])
    sides.stand_in.inject(Fault(effect=Effect(hang_seconds=60), matches=matches))
    [hanging] = sides.stand_in._faults
    running = asyncio.create_task(reconcile(sides))
    await sides.stand_in.until(lambda: hanging.taken > 0)
    await sides.stand_in.stop_listening()
    ended = await running
    assert ended.returncode == 69
    assert "no answer from" in ended.stderr
    assert f"(after {CHUNK} orders were compared)" in ended.stderr
    assert "order-000" in ended.stdout
    for words in ((), ("--json",)):
        ended = await reconcile(sides, *words)
        assert ended.returncode == 69
        assert "(after no orders were compared)" in ended.stderr
    document = json.loads(ended.stdout)
    assert document["checked"] == 0
    assert "no connection" in document["ended_early"]


async def test_while_all_is_paused_it_is_69_and_says_so(sides: Sides) -> None:
    await sides.outbox.connection.execute(
        "UPDATE stock_sync_circuits SET paused_until = now() + interval '1 h', paused_by = 'Anna'"
    )
    ended = await reconcile(sides)
    assert ended.returncode == 69
    assert "everything is paused by Anna" in ended.stderr


def test_it_asks_for_the_settings_of_both_sides() -> None:
    ended = run_command("reconcile")
    assert ended.returncode == 78
    for name in ("DATABASE_URL", "MICROSERVICE_URL"):
        assert f"STOCK_SYNC_{name}: is required" in ended.stderr


def start(command: str, sides: Sides, *, stderr: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", command],
        env=plain_environment(**settings_of(sides)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
    )


async def test_on_a_terminal_it_shows_how_far_it_is_when_that_takes_long(sides: Sides) -> None:
    await sides.settle(*[f"order-{n}" for n in range(3)])
    ours, theirs = pty.openpty()
    # As if it had begun long ago.
    script = (
        "import sys, stocksync.cli.progress as p; p.QUIET_SECONDS = 0;"
        "from stocksync.cli import main; sys.exit(main(['reconcile']))"
    )
    process = start(script, sides, stderr=theirs)
    os.close(theirs)
    try:
        assert await asyncio.to_thread(process.wait, 60) == 0
        assert os.read(ours, 10_000).decode().strip() == "3 orders compared, 0 differ …"
    finally:
        os.close(ours)
