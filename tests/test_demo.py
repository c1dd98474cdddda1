"""The demo as a process of its own: what it says, and that nothing of it is left behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from stocksync.demo.orders import ACCOUNTS, plan

WHOLE_SECONDS = 60.0
QUIET_SECONDS = 10.0


@pytest.fixture
def place() -> Iterator[Path]:
    """A temporary folder that the demo has for itself; short, and open to Postgres's own user."""
    folder = Path(tempfile.mkdtemp(prefix="demo-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def start(place: Path, *options: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "stocksync", "demo", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(place)} | environment,
    )


def left_behind(place: Path) -> list[str]:
    """Files in the demo's folder, and processes that have to do with it."""
    return [str(path) for path in place.iterdir()] + [
        process.name
        for process in Path("/proc").glob("[0-9]*")
        if str(place).encode() in _belongings(process)
    ]


def _belongings(process: Path) -> bytes:
    # Postgres writes its state over its environment: it is known by the folder it works in.
    try:
        folder = bytes((process / "cwd").readlink())
        return folder + (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    except OSError:
        return b""  # it has ended, or belongs to somebody else


def read_until(demo: subprocess.Popen[str], text: str) -> None:
    assert demo.stdout
    lines = []
    for line in demo.stdout:
        lines.append(line)
        if text in line:
            return
    raise AssertionError(
        f"the demo never said {text!r}: {lines} {demo.stderr and demo.stderr.read()}"
    )


def test_a_demo_completes_everything_and_leaves_nothing_behind(place: Path) -> None:
    demo = start(
        place,
        *("--orders", "30", "--json"),
        # A demo on a production machine: none of this may reach its daemon.
        STOCK_SYNC_DATABASE_URL="postgresql://nobody@192.0.2.1/production",
        STOCK_SYNC_MICROSERVICE_URL="http://192.0.2.1",
        STOCK_SYNC_NO_SUCH_NAME="1",
        PGHOST="192.0.2.1",
        http_proxy="http://192.0.2.1:3128",
    )
    stdout, stderr = demo.communicate(timeout=WHOLE_SECONDS)
    assert demo.returncode == 0, stderr
    summary = json.loads(stdout)
    assert summary["is_ok"] is True
    assert summary["problems"] == []
    planned = plan(orders=30, over_seconds=4)
    assert summary["rows"] == summary["rows_completed"] == sum(len(c.rows) for c in planned)
    assert summary["orders"] == summary["flags"] == summary["flags_equal"] == 30
    assert summary["flags_set"] == sum(units > 0 for units in units_taken(30).values())
    assert summary["patches"] >= 30
    assert summary["overlapping_pushes"] == 0
    assert summary["outage_seconds"] > 1
    assert summary["retries"] > 0
    assert summary["pushes_not_proven"] > 0
    assert summary["rows_inside"] + summary["rows_outside"] == summary["rows"]
    assert summary["first_try_outside"] == summary["rows_outside"] > 0
    assert 0 < summary["p50_ms"] <= summary["p99_ms"]
    assert "OUTAGE" in stderr
    assert left_behind(place) == []


def units_taken(orders: int) -> Counter[tuple[str, str]]:
    """The balance of every order, from the order system's own books."""
    units: Counter[tuple[str, str]] = Counter()
    for change in plan(orders=orders, over_seconds=4):
        units[change.token_id, change.order_id] += sum(row.units_taken for row in change.rows)
    return units


@pytest.mark.parametrize(
    ("number", "phase"),
    [
        (signal.SIGINT, "a throw-away Postgres"),
        (signal.SIGINT, "orders arrive"),
        (signal.SIGTERM, "OUTAGE"),
    ],
)
def test_a_signal_ends_it_soon_quietly_and_leaves_nothing_behind(
    place: Path, number: signal.Signals, phase: str
) -> None:
    demo = start(place, "--orders", "30")
    read_until(demo, phase)
    demo.send_signal(number)
    # Who is impatient changes nothing.
    demo.send_signal(number)
    asked_at = time.monotonic()
    _, stderr = demo.communicate(timeout=QUIET_SECONDS)
    assert demo.returncode == 128 + number
    assert time.monotonic() - asked_at < QUIET_SECONDS
    assert stderr == "stopped; nothing is left behind\n"
    assert left_behind(place) == []


def test_a_demo_that_is_killed_takes_its_processes_along(place: Path) -> None:
    demo = start(place, "--orders", "30")
    read_until(demo, "orders arrive")
    assert len(left_behind(place)) > 3
    demo.kill()
    demo.communicate(timeout=QUIET_SECONDS)
    deadline = time.monotonic() + QUIET_SECONDS
    # Files are more than a killed process can see to.
    while any(each.isdigit() for each in left_behind(place)):
        assert time.monotonic() < deadline, left_behind(place)
        time.sleep(0.05)


def test_a_broken_daemon_ends_the_demo_with_its_last_words(place: Path) -> None:
    demo = start(place, "--orders", "30")
    read_until(demo, "orders arrive")
    daemon = next(
        int(process)
        for process in left_behind(place)
        if process.isdigit() and b"stocksync\0run" in Path("/proc", process, "cmdline").read_bytes()
    )
    os.kill(daemon, signal.SIGKILL)
    _, stderr = demo.communicate(timeout=QUIET_SECONDS)
    assert demo.returncode == 1
    assert stderr.startswith("stocksync demo: the daemon ended by itself, exit -9\n")
    assert "daemon.starting" in stderr
    assert left_behind(place) == []


@pytest.mark.parametrize("orders", [1, 30, 300])
def test_a_plan_has_every_order_and_its_sale_comes_first(orders: int) -> None:
    changes = plan(orders=orders, over_seconds=10)
    assert {change.token_id for change in changes} <= set(ACCOUNTS)
    seen: set[tuple[str, str]] = set()
    for change in changes:
        order = (change.token_id, change.order_id)
        assert (order not in seen) == all(row.kind == "deduction" for row in change.rows)
        seen.add(order)
        assert 0 <= change.at_seconds <= 10
        assert 1 <= len(change.rows) <= 5
    assert len(seen) == orders
