"""`status --watch`: calm, as large as the terminal, and the terminal is given back."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from uuid import uuid4

import pytest

from stocksync.cli.sparkline import sparkline
from stocksync.cli.widths import cut, width
from stocksync.database import Database
from stocksync.store import Counts, Store
from tests.outbox import Outbox
from tests.settling import REFUSED, claim, settle
from tests.terminals import ENTERED, LEFT, PATIENCE_SECONDS, Terminal, terminal
from tests.test_cli import plain_environment


@pytest.fixture
async def busy(outbox: Outbox, store: Store, database: Database) -> None:
    """A daemon lives, something failed, something was pushed, a timer has had its turn."""
    await database.fetch("beat", uuid4(), "host", 7, "1.0", None, 0, None)
    await outbox.insert("a" * 60)
    await settle(store, await claim(store), REFUSED)
    await store.add_to_minute(
        Counts(attempts=10, rows_completed=30, rows_first_try=30, push_ms=230, slowest_push_ms=91),
        completed_seconds_ago=(1, 1),
    )
    await outbox.connection.execute(
        "INSERT INTO stock_sync_timers (name, interval_seconds, due_at)"
        " VALUES ('reconcile', 1800, now() + interval '20 min')"
    )


def is_drawn(shown: Terminal) -> bool:
    return any("timer" in line for line in shown.frame)


def says(word: str) -> "re.Pattern[str]":
    return re.compile(rf"^  {word} ")


@pytest.mark.usefixtures("busy")
async def test_it_shows_the_verdict_the_numbers_and_the_last_half_hour(dsn: str) -> None:
    def watched() -> list[str]:
        with terminal("status", "--watch", DATABASE_URL=dsn) as shown:
            shown.until(is_drawn)
            return shown.frame

    frame = await asyncio.to_thread(watched)
    assert re.fullmatch(r"OK  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", frame[0])
    assert frame[1].startswith("  1 operation failed and needs a person")
    labels = [line.split()[0] for line in frame if line.startswith("  ") and len(line) > 2]
    assert {"operations", "due", "completed", "rate", "latency", "daemon", "timer"} <= set(labels)
    [rate] = (line for line in frame if says("rate").match(line))
    assert re.search(r"▁{20,}█?.* +\d+\.\d rows/s, \d+\.\d at most", rate)
    [latency] = (line for line in frame if says("latency").match(line))
    assert latency.endswith("23 ms, 91 ms the slowest")
    assert any("host:7, 1.0" in line for line in frame)


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize(("columns", "lines"), [(40, 12), (30, 5), (80, 24), (12, 3)])
async def test_it_fits_into_a_small_terminal_and_follows_its_size(
    dsn: str, columns: int, lines: int
) -> None:
    def watched() -> list[str]:
        with terminal("status", "--watch", columns=100, lines=40, DATABASE_URL=dsn) as shown:
            shown.until(is_drawn)
            shown.resize(columns, lines)
            shown.until(
                lambda shown: len(shown.frame) <= lines and max(map(width, shown.frame)) < columns
            )
            return shown.frame

    frame = await asyncio.to_thread(watched)
    assert frame[0].startswith("OK  2")
    assert re.fullmatch(r"\(\d+ lines m.*", frame[-1]) or len(frame) < lines


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize(
    ("end", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGHUP, -signal.SIGHUP)],
)
async def test_however_it_ends_the_terminal_is_given_back(
    dsn: str, end: signal.Signals, code: int
) -> None:
    def watched() -> tuple[int, str]:
        with terminal("status", "--watch", DATABASE_URL=dsn) as shown:
            shown.until(is_drawn)
            shown.process.send_signal(end)
            return shown.until_ended(), shown.text

    ended, text = await asyncio.to_thread(watched)
    assert ended == code
    assert text.count(ENTERED) == text.count(LEFT) == 1
    assert text.endswith(LEFT)
    assert "Traceback" not in text


async def test_it_waits_for_a_database_that_is_not_up_yet() -> None:
    def watched() -> list[str]:
        away = "postgresql://u@127.0.0.1:1/db"
        with terminal("status", "--watch", DATABASE_URL=away) as shown:
            shown.until(lambda shown: "cannot be reached" in "".join(shown.frame))
            return shown.frame

    assert (await asyncio.to_thread(watched))[0].startswith("the database 127.0.0.1:1/db")


async def test_without_tables_it_ends_and_says_what_to_run(empty_dsn: str) -> None:
    def watched() -> tuple[int, str]:
        with terminal("status", "--watch", DATABASE_URL=empty_dsn) as shown:
            return shown.until_ended(), shown.text

    code, text = await asyncio.to_thread(watched)
    assert code == 78
    assert "run `stocksync migrate`" in text.partition(LEFT)[2]


@pytest.mark.usefixtures("busy")
async def test_colours_are_the_terminals_alone(dsn: str) -> None:
    def drawn(no_color: str) -> str:
        with terminal("status", "--watch", DATABASE_URL=dsn, env_NO_COLOR=no_color) as shown:
            shown.until(is_drawn)
            return shown.text

    assert "\x1b[H\x1b[32;1mOK\x1b[0m  2" in await asyncio.to_thread(drawn, "")
    assert "\x1b[32" not in await asyncio.to_thread(drawn, "1")


@pytest.mark.usefixtures("busy")
async def test_a_terminal_without_such_letters_gets_plain_ones(dsn: str) -> None:
    def watched() -> list[str]:
        with terminal("status", "--watch", DATABASE_URL=dsn, env_PYTHONIOENCODING="ascii") as shown:
            shown.until(is_drawn)
            return shown.frame

    frame = await asyncio.to_thread(watched)
    assert "\n".join(frame).isascii()
    assert any(re.search(r"rate +_+", line) for line in frame)


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize("words", [[], ["--json"]])
async def test_elsewhere_it_writes_one_look_after_the_other(dsn: str, words: list[str]) -> None:
    def watched() -> list[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "stocksync", "status", "--watch", *words],
            env=plain_environment(DATABASE_URL=dsn),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        assert process.stderr
        # Two looks; then the reader has seen enough.
        lines: list[str] = []
        while len([line for line in lines if line.startswith(("20", "{"))]) < 2:
            lines.append(process.stdout.readline())
        process.stdout.close()
        assert (process.stderr.read(), process.wait(PATIENCE_SECONDS)) == ("", 0)
        process.stderr.close()
        return lines

    lines = await asyncio.to_thread(watched)
    if words:
        assert [json.loads(line)["verdict"] for line in lines] == ["OK", "OK"]
    else:
        assert (lines[1], lines[-2]) == ("OK\n", "\n")


@pytest.mark.usefixtures("busy")
async def test_a_dumb_terminal_is_not_drawn_upon(dsn: str) -> None:
    def watched() -> str:
        with terminal("status", "--watch", DATABASE_URL=dsn, env_TERM="dumb") as shown:
            shown.until(lambda shown: shown.text.count("\nOK\r\n") > 0)
            return shown.text

    assert "\x1b" not in await asyncio.to_thread(watched)


@pytest.mark.usefixtures("busy")
async def test_a_stopped_one_gives_the_terminal_back_until_it_goes_on(dsn: str) -> None:
    def watched() -> str:
        with terminal("status", "--watch", DATABASE_URL=dsn) as shown:
            shown.until(is_drawn)
            os.kill(shown.process.pid, signal.SIGTSTP)
            shown.until(lambda shown: shown.text.endswith(LEFT))
            os.waitid(os.P_PID, shown.process.pid, os.WSTOPPED)
            os.kill(shown.process.pid, signal.SIGCONT)
            shown.until(lambda shown: shown.text.count(ENTERED) == 2)
            shown.until(lambda shown: is_drawn(shown) and not shown.text.endswith(ENTERED))
            shown.process.send_signal(signal.SIGINT)
            assert shown.until_ended() == 130
            return shown.text

    assert (await asyncio.to_thread(watched)).count(LEFT) == 2


# --- letters -------------------------------------------------------------------------------------


def test_a_curve_rises_with_its_numbers_and_only_nothing_looks_like_nothing() -> None:
    assert sparkline([0, 1, 50, 100], room=10) == "▁▂▅█"
    assert sparkline([0, 0.001, 1000], room=10) == "▁▂█"
    assert sparkline([None, 0, 0], room=10) == " ▁▁"


def test_a_curve_keeps_the_newest_when_there_is_little_room() -> None:
    assert sparkline([100, 0, 0, 7], room=2) == "▁█"
    assert sparkline([1, 2], room=0) == ""


def test_a_curve_is_made_of_what_the_terminal_has() -> None:
    assert sparkline([0, 100], room=10, encoding="ascii") == "_#"


def test_what_takes_two_columns_is_cut_by_columns() -> None:
    assert width("кот 猫 e\u0301") == 8
    assert cut("猫猫猫", 4) == "猫…"
    assert cut("猫猫", 4) == "猫猫"
    assert cut("abc", 0) == ""
