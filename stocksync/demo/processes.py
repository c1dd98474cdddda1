"""A process that we start: its output kept in a file, its end seen, never left behind."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Self

from stocksync.model import StocksyncError

_GLANCE_SECONDS = 0.02
_LAST_LINES = 12


class ProcessEnded(StocksyncError):
    """A process of the demo ended by itself, or did not do what it is there for."""


class Process:
    """A Python module as a process of its own, for the time of the `with` block."""

    def __init__(
        self, name: str, *arguments: str, log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = log
        self._arguments = arguments
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it."""
        self._process = launch(
            sys.executable,
            "-m",
            *self._arguments,
            log=self.log,
            death_signal=signal.SIGKILL,
            # Closes with us: where there is no parent-death signal, the stand-in sees that.
            stdin=subprocess.PIPE,
            environment=self._environment,
        )
        return self

    def __exit__(self, *_: object) -> None:
        """Kill it if it still runs: nothing it holds outlives the demo."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            if process.stdin:
                process.stdin.close()

    def check(self) -> None:
        """Raise ProcessEnded, with its last words, if it does not run any more."""
        if self._process is not None and self._process.poll() is not None:
            raise ProcessEnded(
                f"{self.name} ended by itself, exit {self._process.returncode}\n{self.last_words()}"
            )

    async def first_line(self, *, within_seconds: float) -> str:
        """The first line of its output; ProcessEnded when it does not come."""
        try:
            async with asyncio.timeout(within_seconds):
                while "\n" not in (text := self.log.read_text("utf-8", errors="replace")):
                    self.check()
                    await asyncio.sleep(_GLANCE_SECONDS)
        except TimeoutError:
            raise ProcessEnded(f"{self.name} said nothing in {within_seconds:.0f} s") from None
        return text.partition("\n")[0]

    async def stop(self, *, within_seconds: float) -> None:
        """End it in order; ProcessEnded when it takes too long, or does not exit 0."""
        assert self._process is not None  # noqa: S101 - inside the with block
        self._process.terminate()
        try:
            async with asyncio.timeout(within_seconds):
                while (status := self._process.poll()) is None:  # noqa: ASYNC110 - no event says it
                    await asyncio.sleep(_GLANCE_SECONDS)
        except TimeoutError:
            raise ProcessEnded(
                f"{self.name} did not stop in {within_seconds:.0f} s\n{self.last_words()}"
            ) from None
        if status != 0:
            raise ProcessEnded(f"{self.name} stopped with exit {status}\n{self.last_words()}")

    def last_words(self) -> str:
        """The last lines of its output, indented."""
        lines = self.log.read_text("utf-8", errors="replace").splitlines()[-_LAST_LINES:]
        return "\n".join(f"    {line}" for line in lines or ["(it said nothing)"])


class User(NamedTuple):
    """Whom a process runs as."""

    uid: int
    gid: int


def launch(
    program: str,
    *arguments: str,
    log: Path,
    death_signal: signal.Signals,
    stdin: int,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    user: User | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program that ends with the thread that started it, even when that is killed.

    It then gets `death_signal`. Without `user` and `folder` it has ours; only root may give another
    user.
    """
    uid, gid = user or (os.geteuid(), os.getegid())
    launcher = [sys.executable, "-IS", "-c", _LAUNCHER]
    orders = [str(number) for number in (os.getpid(), uid, gid, int(death_signal))]
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - our own launcher, no shell
            [*launcher, *orders, program, *arguments],
            cwd=folder,
            env=environment,
            stdin=stdin,
            stdout=output,
            stderr=output,
            # Ctrl-C is for us: who has to end, ends in our order.
            start_new_session=True,
        )


# Runs between us and the program, as one of its own because code in a forked child of a process
# with threads may hang. It changes the user itself: Popen would do so first, and the new user may
# not be let into the folder of our Python. Changing the user clears the parent-death signal, so
# that comes second; a parent that died before it is seen third.
_LAUNCHER = """
import ctypes, os, sys
parent, uid, gid, death_signal = map(int, sys.argv[1:5])
if os.geteuid() != uid:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, death_signal, 0, 0, 0)
if os.getppid() != parent:
    sys.exit("the parent is gone")
os.execv(sys.argv[5], sys.argv[5:])
"""
