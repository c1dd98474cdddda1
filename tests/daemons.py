"""Real daemons: `stocksync run` as a process of its own, with settings in its environment."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

from tests.service import SECRET, USER_ID

PATIENCE_SECONDS = 30.0
# Short ones, so that a test need not wait: a real daemon's are longer.
QUICK: Mapping[str, str] = {
    "STOCK_SYNC_MICROSERVICE_TIMEOUT_SECONDS": "1",
    "STOCK_SYNC_LEASE_SECONDS": "2",
    "STOCK_SYNC_RETRY_INITIAL_DELAY": "1",
    "STOCK_SYNC_RETRY_MAX_DELAY": "1",
    "STOCK_SYNC_LOG_FORMAT": "json",
    # Many run at once.
    "STOCK_SYNC_HTTP_PORT": "0",
}
SERVICE_MANAGERS = ("NOTIFY_SOCKET", "WATCHDOG_USEC")


class Daemon:
    """One process, and what it logged."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: IO[bytes]) -> None:
        self.process = process
        self._log = log

    def events(self) -> list[dict[str, Any]]:
        """What was logged so far."""
        lines = os.pread(self._log.fileno(), 10_000_000, 0).decode().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    async def until_logged(self, event: str) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                for each in self.events():
                    if each["event"] == event:
                        return each
                assert self.process.poll() is None, f"ended without {event}: {self.log()}"
                await asyncio.sleep(0.02)

    def log(self) -> str:
        return os.pread(self._log.fileno(), 10_000_000, 0).decode()

    async def exit_code(self) -> int:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (code := self.process.poll()) is None:
                await asyncio.sleep(0.02)
        return code

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


@contextmanager
def running_daemon(
    dsn: str,
    service_url: str,
    *arguments: str,
    **settings: str,
) -> Iterator[Daemon]:
    """Start a daemon; it is killed at the end if it has not ended before.

    `settings` are ours, without their prefix, or the service manager's.
    """
    environment = {
        "PATH": os.environ["PATH"],
        "STOCK_SYNC_DATABASE_URL": dsn,
        "STOCK_SYNC_MICROSERVICE_URL": service_url,
        "STOCK_SYNC_MICROSERVICE_JWT_SECRET": SECRET,
        "STOCK_SYNC_MICROSERVICE_JWT_USER_ID": USER_ID,
        **QUICK,
        **{
            name if name in SERVICE_MANAGERS else f"STOCK_SYNC_{name}": value
            for name, value in settings.items()
        },
    }
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "stocksync", "run", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
        try:
            yield Daemon(process, log)
        finally:
            process.kill()
            process.wait()
