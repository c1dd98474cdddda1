"""The demo as a process of its own: what it says, and that nothing of it is left behind."""

import io
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
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from rich.live import Live

from stocksync.demo.orders import ACCOUNTS, plan
from stocksync.demo.summary import Circuit, Rows, Summary
from stocksync.demo.view import LiveView, Progress, print_summary

SUMMARY = Summary(
    orders_planned=2,
    orders=2,
    rows=5,
    rows_completed=5,
    patches=2,
    pushes_not_proven=1,
    retries=2,
    rows_retried=2,
    rows_outside=3,
    first_try_outside=3,
    rows_inside=2,
    first_try_inside=0,
    p50_ms=11.4,
    p99_ms=40.2,
    longest_wait_seconds=7.4,
    outage_seconds=5.0,
    recovery_seconds=2.6,
    flags=2,
    flags_equal=2,
    flags_set=1,
    overlapping_pushes=0,
    total_seconds=16.5,
)
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
    # The circuit opened: what an outage may cost a row is one retry, whatever the row's limit.
    assert summary["pushes_not_proven"] >= 1
    assert summary["retries"] == summary["rows_retried"] <= summary["rows_inside"]
    assert summary["longest_wait_seconds"] > 0.5
    assert summary["recovery_seconds"] >= 0
    assert summary["rows_inside"] + summary["rows_outside"] == summary["rows"]
    assert summary["first_try_outside"] == summary["rows_outside"] > 0
    assert 0 < summary["p50_ms"] <= summary["p99_ms"]
    # What happened, in the order in which it did.
    phases = ["starting a throw-away", "orders arrive", "OUTAGE", "the service is back", "compared"]
    assert sorted(phases, key=stderr.index) == phases
    assert stderr.index("the circuit opened") < stderr.index("the circuit closed")
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
        (signal.SIGINT, "starting a throw-away Postgres"),
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


@pytest.mark.parametrize("columns", [40, 60, 200])
def test_the_summary_begins_with_the_result_and_fits_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys, "argv", ["/opt/somewhere/bin/stocksync", "demo"])
    print_summary(SUMMARY)
    said = capsys.readouterr().out
    first, _, rest = said.lstrip().partition("\n")
    assert first == "Everything arrived: 5 of 5 rows completed, 2 of 2 flags equal at the service."
    assert max(map(len, rest.splitlines())) < columns
    assert "/opt/somewhere/bin/stocksync demo --orders" in " ".join(rest.split())


@pytest.mark.parametrize(
    ("what", "problem"),
    [
        ({"orders": 1}, "1 orders did not arrive in time"),
        ({"rows_completed": 4}, "1 of 5 rows are not completed"),
        ({"flags_equal": 1}, "1 of 2 flags differ"),
        ({"overlapping_pushes": 3}, "3 pushes overlapped another one of the same order"),
        ({"outage_seconds": None}, "the outage did not end in time"),
    ],
)
def test_what_is_not_right_is_the_first_thing_it_says(
    capsys: pytest.CaptureFixture[str], what: dict[str, int | None], problem: str
) -> None:
    print_summary(replace(SUMMARY, **what))  # type: ignore[arg-type] # as the table says
    assert capsys.readouterr().out.lstrip().startswith(f"NOT RIGHT: {problem}\n")


def test_a_narrow_terminal_shows_an_outage_and_no_line_too_long() -> None:
    stream = io.StringIO()
    with Live(console=Console(file=stream, width=60), auto_refresh=False) as live:
        view = LiveView(live)
        view.phase("the circuit opened: nothing is pushed but probes, and no retry is used up")
        view.show(
            Progress(
                orders_arrived=99_999,
                orders_planned=100_000,
                rows=Rows(pending=7, in_flight=0, completed=250_000, given_up=0),
                pushes_per_second=0,
                is_service_up=False,
                circuit=Circuit(is_open=True, probes=1),
            )
        )
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 60
    # What does not fit goes on below its text, not below its time.
    assert lines[1].startswith("         ")
    shown = [" ".join(line.split()) for line in lines]
    assert "rows waiting 7, and 0 in flight" in shown
    assert "service DOWN, it refuses connections" in shown
    assert "circuit OPEN, 1 probe sent" in shown


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
