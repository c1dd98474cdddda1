"""systemd: its units are hardened and understood, and the words it waits for arrive."""

import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stocksync.cli import main
from stocksync.cli.arguments import command_line
from stocksync.daemon.watchdog import STUCK_SECONDS, Watchdog
from stocksync.loop import Loop
from stocksync.systemd import Notifier, Unit, unit

EXECUTABLE = Path("/usr/bin/env")  # `verify` wants one that is there


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """systemd's end of the notification socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(10)
        yield listening


def heard(manager: socket.socket) -> str:
    return manager.recv(4096).decode()


def test_each_word_arrives_as_systemd_expects_it(manager: socket.socket) -> None:
    notifier = Notifier(address=manager.getsockname())
    notifier.ready()
    notifier.status("3 rows\n due")
    notifier.watchdog()
    notifier.stopping()
    assert [heard(manager) for _ in range(4)] == [
        "READY=1",
        "STATUS=3 rows due",
        "WATCHDOG=1",
        "STOPPING=1",
    ]


def test_an_abstract_socket_is_reached_too() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0stocksync-test-notify")
        manager.settimeout(10)
        Notifier(address="@stocksync-test-notify").ready()
        assert heard(manager) == "READY=1"


def test_without_systemd_nothing_is_said_and_nobody_watches() -> None:
    notifier = Notifier.from_environment({"WATCHDOG_USEC": "1000000"})
    notifier.ready()
    assert notifier.watchdog_seconds is None


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "120000000"}, 120.0),
        ({"WATCHDOG_USEC": "120000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
    ids=["for us", "for another process", "no number", "none"],
)
def test_the_watchdog_is_what_systemd_says(environ: dict[str, str], seconds: float | None) -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": "/nowhere", **environ})
    assert notifier.watchdog_seconds == seconds


def test_a_manager_that_does_not_listen_stops_nobody(tmp_path: Path) -> None:
    notifier = Notifier(address=str(tmp_path / "nobody"))
    notifier.ready()
    notifier.watchdog()


has_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


@has_systemd
@pytest.mark.parametrize("which", [Unit.SERVICE, Unit.TEMPLATE, Unit.FAILURE])
def test_systemd_understands_each_unit_and_finds_it_hardened(which: Unit, tmp_path: Path) -> None:
    file = tmp_path / which.value
    file.write_text(unit(which, executable=EXECUTABLE))
    verified = subprocess.run(
        ["systemd-analyze", "verify", file], capture_output=True, text=True, timeout=60, check=False
    )
    # It exits with 0 on keys that it does not know, and only complains.
    assert (verified.returncode, verified.stderr) == (0, "")
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=15", file],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert rated.returncode == 0, rated.stdout + rated.stderr


@has_systemd
@pytest.mark.parametrize("which", [Unit.SERVICE, Unit.TEMPLATE, Unit.FAILURE])
@pytest.mark.parametrize("name", ["with blank", "100%d", "$HOME", "$$", "#;ж"])
def test_systemd_finds_the_command_whatever_its_path(
    which: Unit, name: str, tmp_path: Path
) -> None:
    executable = tmp_path / name / "stocksync"
    executable.parent.mkdir()
    shutil.copy(EXECUTABLE, executable)
    file = tmp_path / which.value
    file.write_text(unit(which, executable=executable))
    verified = subprocess.run(
        ["systemd-analyze", "verify", file], capture_output=True, text=True, timeout=60, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")


@pytest.mark.parametrize("name", ['"', "'", "\\"])
def test_a_path_that_systemd_does_not_run_is_said(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    executable = tmp_path / name / "stocksync"
    monkeypatch.setattr(sys, "argv", [str(executable)])
    assert main(["systemd-unit"]) == 0
    assert f"stocksync: systemd cannot run {executable}" in capsys.readouterr().err


def test_each_unit_runs_this_installation_and_names_its_own_file(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for option, name in (
        ((), "stocksync.service"),
        (("--template",), "stocksync@.service"),
        (("--failure",), "stocksync-failure@.service"),
        (("--drop-in",), "stocksync.service.d/local.conf"),
    ):
        assert main(["systemd-unit", *option]) == 0
        printed = capsys.readouterr().out
        assert printed.startswith(f"# /etc/systemd/system/{name}\n")
        assert "{" not in printed
        if option != ("--drop-in",):
            assert '/bin/stocksync" ' in printed


def test_the_failure_unit_s_command_is_one_that_is_understood() -> None:
    text = unit(Unit.FAILURE, executable=EXECUTABLE)
    [command] = re.findall(r"^ExecStart=(.+)$", text, re.MULTILINE)
    program, *words = shlex.split(command.replace("%i", "stocksync@shop.service"))
    assert program == str(EXECUTABLE)
    arguments = command_line().parse_args(words)
    assert (arguments.verb, arguments.failed) == ("notify", "stocksync@shop.service")


def test_instances_have_settings_of_their_own() -> None:
    text = unit(Unit.TEMPLATE, executable=EXECUTABLE)
    assert "EnvironmentFile=-/etc/stocksync/settings-%i.env\n" in text
    assert "LoadCredential=stock_sync:/etc/stocksync/credentials-%i\n" in text


async def test_the_watchdog_is_fed_by_loops_that_get_on_and_not_beside_one_that_is_stuck(
    manager: socket.socket,
) -> None:
    async def rests() -> float:
        return 1.0

    loop = Loop("claim", rests)
    notifier = Notifier(address=manager.getsockname(), watchdog_seconds=120)
    watchdog = Watchdog(notifier=notifier, loops=[loop])
    assert await watchdog.tick() == 30
    assert heard(manager) == "WATCHDOG=1"
    loop._ticking_since = time.monotonic() - STUCK_SECONDS - 1
    await watchdog.tick()
    manager.settimeout(0)
    with pytest.raises(BlockingIOError):
        heard(manager)
    loop._ticking_since = time.monotonic()
    await watchdog.tick()
    assert heard(manager) == "WATCHDOG=1"
