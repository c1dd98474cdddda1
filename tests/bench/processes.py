"""Processes that are measured: what they cost, from /proc, and that none is left behind."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parent.parent.parent
STOP_SECONDS = 40.0
_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")


def cpu_ms(pid: int) -> float:
    """CPU that a process of one thread has used so far, to the microsecond."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e6


def machine_cpu_seconds() -> float:
    """CPU that all processes of this machine have used so far, its own work for them included."""
    user, nice, system, _idle, _iowait, irq, softirq = (
        int(field) for field in Path("/proc/stat").read_text().split(maxsplit=8)[1:8]
    )
    return (user + nice + system + irq + softirq) * _TICK_SECONDS


class Ended(Exception):
    """A process ended by itself."""


class Measured:
    """A running process."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: IO[bytes]) -> None:
        self._process = process
        self._log = log

    def check(self) -> None:
        """Raise Ended, with its last words, if it runs no more."""
        if self._process.poll() is not None:
            raise Ended(f"{self._process.args!r} ended: {self.last_words()}")

    @property
    def cpu_seconds(self) -> float:
        """CPU it has used so far, user and system, all its threads."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * _TICK_SECONDS

    @property
    def memory_mb(self) -> float:
        """What of it lies in memory now."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def last_words(self) -> str:
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), 2000, max(0, size - 2000)).decode(errors="replace")

    def stop(self) -> None:
        """Ask it to end, and wait; then make it."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def running(
    *command: str, environment: Mapping[str, str], is_stopped_in_order: bool = True
) -> Iterator[Measured]:
    """Start a program in the checkout; it is ended with the block."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            measured = Measured(process, log)
            yield measured
            measured.check()
            if is_stopped_in_order:
                measured.stop()
        finally:
            process.kill()
            process.wait()


PYTHON = sys.executable
