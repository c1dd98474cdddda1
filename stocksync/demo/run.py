"""`stocksync demo`: all of it on this machine for half a minute, and nothing left behind."""

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Self, cast

from stocksync.demo import view
from stocksync.demo.binaries import Kind
from stocksync.demo.play import play
from stocksync.demo.postgres import PostgresServer
from stocksync.demo.summary import Summary
from stocksync.model import StocksyncError

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_demo(*, postgres: str, orders: int, as_json: bool) -> int:
    """Play the demo and tell what came of it; `postgres` is auto, embedded or system.

    0: everything completed and all flags equal; 1: not so, or it could not be played; 128 + n:
    ended by signal n (Ctrl-C: 130). With `as_json` stdout gets one JSON document, stderr the rest.
    """
    stream = sys.stderr if as_json else sys.stdout
    if missing := _missing_packages(is_live=view.is_terminal(stream)):
        return _failed(f"needs {' and '.join(missing)}: `pip install 'stocksync[demo]'`")
    with _Interruption() as interruption:
        try:
            with view.opened(stream) as opened:
                summary = _play(interruption, postgres=postgres, orders=orders, shown=opened)
            _tell(summary, as_json=as_json)
        except asyncio.CancelledError:
            print("stopped; nothing is left behind", file=sys.stderr)
            return 128 + (interruption.number or 0)
        except StocksyncError as error:
            return _failed(str(error))
        except BrokenPipeError:
            # Who read it has gone. Whatever is still in the buffer must not fail at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            return 1
    return 1 if summary.problems else 0


def _play(
    interruption: "_Interruption", *, postgres: str, orders: int, shown: view.View
) -> Summary:
    began_at = time.monotonic()
    server = PostgresServer(kind=cast("Kind", postgres))
    shown.phase("starting a throw-away Postgres …")
    with tempfile.TemporaryDirectory(prefix="stocksync-demo-") as folder, server:
        major, minor = server.version
        shown.phase(f"Postgres {major}.{minor} runs")

        async def played() -> Summary:
            with interruption.ends_this():
                return await play(
                    database_url=server.dsn(),
                    folder=Path(folder),
                    orders=orders,
                    view=shown,
                    began_at=began_at,
                )

        return asyncio.run(played())


def _tell(summary: Summary, *, as_json: bool) -> None:
    if as_json:
        problems = summary.problems
        document = {"is_ok": not problems, "problems": problems} | asdict(summary)
        print(json.dumps(document, indent=2), flush=True)
    else:
        view.print_summary(summary)


def _failed(text: str) -> int:
    print(f"stocksync demo: {text}", file=sys.stderr)
    return 1


def _missing_packages(*, is_live: bool) -> list[str]:
    needed = ["aiohttp", "rich"] if is_live else ["aiohttp"]
    return [package for package in needed if find_spec(package) is None]


class _Interruption:
    """The first Ctrl-C, SIGTERM or SIGHUP ends the demo in order; others change nothing then.

    It never strikes in the middle of starting Postgres, or of cleaning up: a process or a folder
    would be left behind. Both take about a second.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._task: asyncio.Task[Summary] | None = None

    def __enter__(self) -> Self:
        # Whom nohup started wants to outlive its terminal.
        caught = [
            n for n in _SIGNALS if n is signal.SIGINT or signal.getsignal(n) != signal.SIG_IGN
        ]
        self._before = {number: signal.signal(number, self._on_signal) for number in caught}
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    @contextmanager
    def ends_this(self) -> Iterator[None]:
        """A signal cancels the task that is in this block, one that came before too."""
        self._task = cast("asyncio.Task[Summary]", asyncio.current_task())
        self._cancel()
        try:
            yield
        finally:
            self._task = None

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.number is None:
            self.number = number
            self._cancel()

    def _cancel(self) -> None:
        if self.number is not None and self._task is not None:
            # From a signal handler: wakes the loop, whatever it waits for.
            self._task.get_loop().call_soon_threadsafe(self._task.cancel)
