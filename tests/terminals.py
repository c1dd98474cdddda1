"""A terminal of a size: a command runs in it, and what it draws is read frame by frame."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.test_cli import plain_environment

PATIENCE_SECONDS = 60.0
ENTERED, LEFT, HOME = "\x1b[?1049h", "\x1b[?1049l", "\x1b[H"


class Terminal:
    """What a command wrote to it so far."""

    def __init__(self, process: "subprocess.Popen[bytes]", controller: int) -> None:
        self.process = process
        self._controller = controller
        self._read = b""

    @property
    def text(self) -> str:
        """All of it, with its control sequences."""
        return self._read.decode("utf-8", "replace")

    @property
    def frame(self) -> list[str]:
        """The lines of the last whole frame, without colours."""
        frames = re.findall(r"\x1b\[H(.*?)\x1b\[K\x1b\[J", self.text, re.DOTALL)
        return plain(frames[-1]).splitlines() if frames else []

    def until(self, holds: Callable[["Terminal"], bool]) -> None:
        """Read until this holds of what was written."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds(self):
            assert time.monotonic() < deadline, self.text[-3000:]
            self._read_some(deadline)

    def until_ended(self) -> int:
        """Read until the command has ended; gives its exit code."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.text[-3000:]
            self._read_some(deadline)
        self._read_some(deadline)
        return self.process.returncode

    def resize(self, columns: int, lines: int) -> None:
        """Make it larger or smaller, as a person does with the mouse."""
        _set_size(self._controller, columns, lines)
        self.process.send_signal(signal.SIGWINCH)

    def _read_some(self, deadline: float) -> None:
        is_ready, *_ = select.select([self._controller], [], [], min(0.2, deadline))
        if is_ready:
            try:
                self._read += os.read(self._controller, 65_536)
            except OSError:  # nobody is at the other end any more
                self.process.wait(PATIENCE_SECONDS)


def plain(text: str) -> str:
    """The text without control sequences."""
    return re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", text)


@contextmanager
def terminal(
    *words: str, columns: int = 100, lines: int = 40, **environment: str
) -> Iterator[Terminal]:
    """Run `stocksync` in a terminal; settings without their prefix, `env_X` is the variable X."""
    settings = {k: v for k, v in environment.items() if not k.startswith("env_")}
    others = {k.removeprefix("env_"): v for k, v in environment.items() if k.startswith("env_")}
    kept = plain_environment(**settings)
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        kept.pop(name, None)
    controller, theirs = pty.openpty()
    _set_size(controller, columns, lines)
    process = subprocess.Popen(
        [sys.executable, "-m", "stocksync", *words],
        env={**kept, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", **others},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        yield Terminal(process, controller)
    finally:
        process.kill()
        process.wait()
        os.close(controller)


def _set_size(descriptor: int, columns: int, lines: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
