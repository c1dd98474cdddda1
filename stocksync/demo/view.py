"""How the demo looks: a calm live view on a terminal, plain lines elsewhere."""

import os
import re
import shutil
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TextIO

from stocksync.demo.summary import Circuit, Rows, Summary

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

_LINE_SECONDS = 1.0
_WIDEST_BAR = 40
# Of a live line beside its bar: the label, the gaps, and "100000 of 100000".
_LABEL_WIDTH = 14
_BESIDE_BAR = _LABEL_WIDTH + 2 + 2 + 16
_NAME_WIDTH = 11
_WIDEST_SUMMARY = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One look at the demo."""

    orders_arrived: int
    orders_planned: int
    rows: Rows
    pushes_per_second: float
    """Over the last second."""
    is_service_up: bool
    circuit: Circuit

    @property
    def service_now(self) -> str:
        """The service in a few words."""
        pace = counted(round(self.pushes_per_second), "push", "pushes")
        return f"up, {pace} a second" if self.is_service_up else "DOWN, it refuses connections"

    @property
    def circuit_now(self) -> str:
        """Its circuit in a few words."""
        probes = counted(self.circuit.probes, "probe")
        return f"OPEN, {probes} sent" if self.circuit.is_open else "closed"


class View(Protocol):
    """Shows what happens."""

    def phase(self, text: str) -> None:
        """Something new begins: one line that stays."""

    def show(self, progress: Progress) -> None:
        """How it stands now."""


@contextmanager
def opened(stream: TextIO) -> Iterator[View]:
    """Give the view that fits: live on a terminal, plain lines elsewhere."""
    if not is_terminal(stream):
        yield PlainView(stream)
        return
    # rich is asked for on a terminal only.
    from rich.console import Console  # noqa: PLC0415
    from rich.live import Live  # noqa: PLC0415

    # Only we refresh it: a thread of rich's would write into our shutting down.
    with Live(console=Console(file=stream), auto_refresh=False, redirect_stderr=False) as live:
        yield LiveView(live)


def is_terminal(stream: TextIO) -> bool:
    """Tell whether the live view fits there."""
    return stream.isatty()


class PlainView:
    """A line for each phase, and at most one a second between them."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._began_at = time.monotonic()
        self._said_at = 0.0
        self._last: Progress | None = None

    def phase(self, text: str) -> None:
        """One line."""
        self._say(text)

    def show(self, progress: Progress) -> None:
        """One line, unless one was said a moment ago, or nothing has changed."""
        if progress != self._last and time.monotonic() - self._said_at >= _LINE_SECONDS:
            self._last = progress
            rows = progress.rows
            self._say(
                f"  orders {progress.orders_arrived}/{progress.orders_planned}; rows:"
                f" {rows.completed} completed, {rows.pending} waiting, {rows.in_flight} in flight;"
                f" service {progress.service_now}; circuit {progress.circuit_now}"
            )

    def _say(self, text: str) -> None:
        self._said_at = time.monotonic()
        seconds = self._said_at - self._began_at
        print(f"{seconds:5.1f} s  {text}", file=self._stream, flush=True)


class LiveView:
    """Phases above, and below them a few lines that change in place."""

    def __init__(self, live: "Live") -> None:
        self._live = live
        self._began_at = time.monotonic()

    def phase(self, text: str) -> None:
        """One line above those that change; where it is too long, it goes on below its text."""
        from rich.table import Table  # noqa: PLC0415 - rich is asked for on a terminal only

        line = Table.grid(padding=(0, 2))
        line.add_column(style="dim", no_wrap=True)
        line.add_column(style="red" if text.startswith("OUTAGE") else "")
        line.add_row(f"{time.monotonic() - self._began_at:5.1f} s", text)
        self._live.console.print(line)

    def show(self, progress: Progress) -> None:
        """Redraw the lines that change."""
        self._live.update(self._drawn(progress), refresh=True)

    def _drawn(self, progress: Progress) -> "RenderableType":
        from rich.console import Group  # noqa: PLC0415 - rich: on a terminal only
        from rich.table import Table  # noqa: PLC0415 - the same
        from rich.text import Text  # noqa: PLC0415 - the same

        rows = progress.rows
        total = rows.completed + rows.unfinished + rows.given_up
        bars, words = Table.grid(padding=(0, 2)), Table.grid(padding=(0, 2))
        for lines in (bars, words):
            lines.add_column(no_wrap=True, style="dim", min_width=_LABEL_WIDTH)
        bars.add_row()
        bars.add_row(
            "orders arrived",
            self._bar(progress.orders_arrived, progress.orders_planned, "blue"),
            f"{progress.orders_arrived} of {progress.orders_planned}",
        )
        # Red as long as it cannot move: the service is away, or not yet seen to be back.
        is_held_up = not progress.is_service_up or progress.circuit.is_open
        bars.add_row(
            "rows completed",
            self._bar(rows.completed, total, _colour(is_well=not is_held_up)),
            f"{rows.completed} of {total}",
        )
        words.add_row("rows waiting", f"{rows.pending}, and {rows.in_flight} in flight")
        words.add_row(
            "service", Text(progress.service_now, style=_colour(is_well=progress.is_service_up))
        )
        words.add_row(
            "circuit",
            Text(progress.circuit_now, style=_colour(is_well=not progress.circuit.is_open)),
        )
        return Group(bars, words)

    def _bar(self, completed: int, total: int, colour: str) -> "RenderableType":
        from rich.progress_bar import ProgressBar  # noqa: PLC0415 - rich: on a terminal only

        return ProgressBar(
            total=max(total, 1),
            completed=completed,
            width=max(min(self._live.console.width - _BESIDE_BAR, _WIDEST_BAR), 4),
            complete_style=colour,
            finished_style=colour,
        )


def _colour(*, is_well: bool) -> str:
    return "green" if is_well else "red"


def counted(number: int, what: str, several: str = "") -> str:
    """So many of them: `1 order`, `2 orders`."""
    return f"{number} {what if number == 1 else several or what + 's'}"


def print_summary(summary: Summary) -> None:
    """Say on stdout what came of it, what is counted where, and what to look at next."""
    print()
    headline = _headline(summary)
    if is_terminal(sys.stdout):
        from rich.console import Console  # noqa: PLC0415 - rich: on a terminal only

        style = "bold red" if summary.problems else "bold green"
        Console().print(headline, style=style, highlight=False)
    else:
        print(headline)
    print()
    for name, text in _lines(summary):
        print(_filled(f"{name:<{_NAME_WIDTH}}", text))
    if not summary.problems:
        print()
        print(_filled("Next: ", f"{_program()} demo --orders 3000 (--json: for a machine)"))
        print(_filled("      ", 'README.md, "Try it by hand"'), flush=True)


def _filled(begin: str, text: str) -> str:
    """Give the text, going on below itself on a narrow terminal; a number keeps its unit."""
    # A full line makes some terminals add an empty one.
    width = min(_WIDEST_SUMMARY, shutil.get_terminal_size().columns - 1)
    text = re.sub(r"(?<=\d) (?=[%a-z])", "\xa0", text)
    indent = " " * len(begin)
    lines = textwrap.wrap(text, width, initial_indent=begin, subsequent_indent=indent)
    return "\n".join(lines).replace("\xa0", " ")


def _headline(s: Summary) -> str:
    if s.problems:
        return "NOT RIGHT: " + "; ".join(s.problems)
    flags = f"{s.flags_equal} of {s.flags} flags equal at the service"
    return f"Everything arrived: {s.rows_completed} of {s.rows} rows completed, {flags}."


def _lines(s: Summary) -> Iterator[tuple[str, str]]:
    orders = f"{counted(s.orders, 'order')} in {counted(s.rows, 'row')}"
    alone = "" if s.overlapping_pushes else ", never two of one order at once"
    yield "pushes", f"{counted(s.patches, 'PATCH', 'PATCHes')} for {orders}{alone}"
    if s.p50_ms is not None and s.p99_ms is not None:
        latency = f"p50 {s.p50_ms:.0f} ms, p99 {s.p99_ms:.0f} ms from INSERT to proven"
        yield "latency", f"{latency}, of the {counted(s.rows_outside, 'row')} outside of the outage"
    if s.outage_seconds is not None and s.recovery_seconds is not None:
        waited = f"waited, none for more than {s.longest_wait_seconds or 0:.1f} s"
        inside = f"{counted(s.rows_inside, 'row')} {waited}" if s.rows_inside else "no row met it"
        back = f"all were through {s.recovery_seconds:.1f} s after the service was back"
        yield (
            "outage",
            f"{s.outage_seconds:.1f} s: {inside}" + (f"; {back}" if s.rows_inside else ""),
        )
    shares = (
        f"{_share(s.first_try_outside, s.rows_outside)} of the rows outside of the outage",
        f"{_share(s.first_try_inside, s.rows_inside)} of those that met it",
    )
    yield "first try", ", ".join(shares)
    used = f"{counted(s.rows_retried, 'row')} used up {counted(s.retries, 'retry', 'retries')}"
    unproven = f"{counted(s.pushes_not_proven, 'push', 'pushes')} got no answer, probes included"
    yield "retries", f"{used}; {unproven}" if s.pushes_not_proven else "none"
    yield (
        "flags",
        f"{s.flags_set} deducted, {s.flags - s.flags_set} not (refunded, or given back by hand)",
    )
    yield "took", f"{s.total_seconds:.1f} s in all"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"


def _program() -> str:
    """What was typed to start us: it need not be on the PATH."""
    name = Path(sys.argv[0])
    if name.name != "stocksync":
        return f"{_short(Path(sys.executable))} -m stocksync"
    on_path = shutil.which("stocksync")
    return "stocksync" if on_path and Path(on_path).resolve() == name.resolve() else _short(name)


def _short(path: Path) -> str:
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)
