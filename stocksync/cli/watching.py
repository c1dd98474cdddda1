"""`status --watch`: a look every two seconds, on the whole terminal or a block after the other."""

import asyncio
import os
import signal
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from stocksync import schema
from stocksync.cli import documents, texts_of_status, texts_of_watch
from stocksync.cli.colour import red
from stocksync.cli.layout import one_line, span, utc
from stocksync.cli.output import lost
from stocksync.cli.screen import Screen
from stocksync.cli.session import opened
from stocksync.database import Database
from stocksync.model import DatabaseRefused, DatabaseUnavailable, SchemaError
from stocksync.operations import Minute, Operations
from stocksync.verdict import Limits, Standing

LOOK_SECONDS = 2.0
MINUTES = 30
# A look takes milliseconds; one that takes longer than this is worth a word.
SLOW_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a look saw."""

    standing: Standing
    minutes: tuple[Minute, ...]


class Watch:
    """Looks again and again; what goes wrong with the database is seen, too, and passes."""

    def __init__(self, *, database: Database, limits: Limits) -> None:
        self._database = database
        self._operations = Operations(database=database)
        self._limits = limits
        self._is_verified = False
        self.seen: Seen | None = None
        """The last look that saw anything."""
        self.seen_at = time.monotonic()
        self.trouble: str | None = None
        """Why the last look saw nothing; None: it did."""

    async def look(self) -> None:
        """Look once. Raises what only a person mends, as long as nothing was ever seen."""
        try:
            if not self._is_verified:
                await schema.verify(self._database)
                self._is_verified = True
            standing = await self._operations.status(limits=self._limits)
            minutes = await self._operations.minutes(MINUTES)
        except (DatabaseUnavailable, DatabaseRefused, SchemaError) as error:
            if self.seen is None and not isinstance(error, DatabaseUnavailable):
                raise
            self.trouble = str(error)
        else:
            self.seen, self.seen_at = Seen(standing=standing, minutes=minutes), time.monotonic()
            self.trouble = None

    def lines(self, room: int, encoding: str) -> list[str]:
        """What there is to draw, the first line the most important one."""
        lines = []
        age = time.monotonic() - self.seen_at
        if self.trouble is not None:
            lines += [one_line(self.trouble), ""]
        elif age > SLOW_SECONDS:
            lines += [f"the database has not answered for {span(age)}", ""]
        if self.seen is None:
            return lines or ["asking the database …"]
        if lines:
            lines.insert(1, f"what follows was seen {span(age)} ago")
        return lines + texts_of_watch.frame(
            self.seen.standing, self.seen.minutes, room=room, encoding=encoding
        )

    @property
    def is_current(self) -> bool:
        """What was seen last is of now, as far as anybody can tell."""
        is_late = time.monotonic() - self.seen_at > SLOW_SECONDS
        return self.seen is not None and self.trouble is None and not is_late


async def watch(arguments: Namespace, *, limits: Limits) -> None:
    """Show how the outbox stands until somebody ends it."""
    async with opened(arguments) as database:
        watch = Watch(database=database, limits=limits)
        if Screen.is_there() and not arguments.json:
            await _on_screen(watch)
        else:
            await _one_after_the_other(watch, as_json=arguments.json)


async def _one_after_the_other(watch: Watch, *, as_json: bool) -> None:
    while True:
        await watch.look()
        sys.stdout.write(_document(watch) if as_json else _block(watch))
        # At once: whoever reads a pipe wants it now, and may have seen enough.
        if lost() is not None:
            return
        await asyncio.sleep(LOOK_SECONDS)


def _document(watch: Watch) -> str:
    if watch.trouble is not None or watch.seen is None:
        return documents.on_a_line({"unavailable": watch.trouble})
    return documents.on_a_line(documents.standing(watch.seen.standing))


def _block(watch: Watch) -> str:
    if watch.trouble is not None or watch.seen is None:
        return f"{one_line(watch.trouble or '')}\n\n"
    standing = watch.seen.standing
    return f"{utc(standing.numbers.now)} UTC\n{texts_of_status.standing(standing)}\n\n"


async def _on_screen(watch: Watch) -> None:
    changed = asyncio.Event()
    with Screen() as screen, _signals(screen, changed.set) as ended_by:
        looking = asyncio.create_task(_look_on(watch, changed.set))
        try:
            while not ended_by and lost() is None:
                changed.clear()
                _draw(watch, screen)
                waking = asyncio.create_task(changed.wait())
                await asyncio.wait(
                    {looking, waking},
                    timeout=LOOK_SECONDS,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                waking.cancel()
                if looking.done():
                    # It goes on for ever, but for what it raises.
                    await looking
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
    if ended_by:
        # As if we had never caught it: whoever sent it sees what it did.
        signal.signal(ended_by[0], signal.SIG_DFL)
        os.kill(os.getpid(), ended_by[0])


async def _look_on(watch: Watch, tell: Callable[[], None]) -> None:
    while True:
        await watch.look()
        tell()
        await asyncio.sleep(LOOK_SECONDS)


def _draw(watch: Watch, screen: Screen) -> None:
    lines = watch.lines(screen.size.columns - 1, sys.stdout.encoding or "ascii")
    first_as = red(lines[0]) if watch.seen is not None else None
    if watch.is_current and watch.seen is not None:
        verdict = watch.seen.standing.verdict
        first_as = texts_of_status.coloured(verdict) + lines[0].removeprefix(verdict)
    screen.draw(lines, first_as=first_as)


@contextmanager
def _signals(screen: Screen, tell: Callable[[], None]) -> Iterator[list[signal.Signals]]:
    """Let signals give the terminal back first; gives the one that ends it, when it comes."""
    loop = asyncio.get_running_loop()
    ended_by: list[signal.Signals] = []

    def end(number: signal.Signals) -> None:
        ended_by.append(number)
        tell()

    def rest() -> None:
        screen.leave()
        # Ctrl-Z: the shell has the terminal until somebody says `fg`.
        os.kill(os.getpid(), signal.SIGSTOP)
        screen.enter()
        tell()

    enders = (signal.SIGTERM, signal.SIGHUP)
    for number in enders:
        loop.add_signal_handler(number, end, number)
    loop.add_signal_handler(signal.SIGTSTP, rest)
    loop.add_signal_handler(signal.SIGWINCH, tell)
    try:
        yield ended_by
    finally:
        for number in (*enders, signal.SIGTSTP, signal.SIGWINCH):
            loop.remove_signal_handler(number)
