"""How the demo looks: a calm live view on a terminal, plain lines elsewhere."""

import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TextIO

from stocksync.demo.summary import Rows, Summary

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

_LINE_SECONDS = 1.0
_BAR_WIDTH = 40
_NAME_WIDTH = 12
_SUMMARY_WIDTH = 80
_NEXT = """
Next: `stocksync demo --orders 3000` for more of it, `--json` for a machine; then the
README: the one INSERT of your order system, `stocksync migrate`, `run`, `status`, and
`show --order` for the story of one order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One look at the demo."""

    orders_arrived: int
    orders_planned: int
    rows: Rows
    pushes_per_second: float
    is_service_up: bool


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
                f"  orders {progress.orders_arrived}/{progress.orders_planned}, rows:"
                f" {rows.pending} pending, {rows.in_flight} in flight, {rows.completed} completed,"
                f" {progress.pushes_per_second:.0f} pushes/s,"
                f" service {'up' if progress.is_service_up else 'DOWN'}"
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
        """One line above those that change."""
        from rich.text import Text  # noqa: PLC0415 - rich is asked for on a terminal only

        seconds = time.monotonic() - self._began_at
        line = Text.assemble((f"{seconds:5.1f} s  ", "dim"), text)
        self._live.console.print(line)

    def show(self, progress: Progress) -> None:
        """Redraw the lines that change."""
        self._live.update(self._drawn(progress), refresh=True)

    def _drawn(self, progress: Progress) -> "RenderableType":
        from rich.progress_bar import ProgressBar  # noqa: PLC0415 - rich: on a terminal only
        from rich.table import Table  # noqa: PLC0415 - the same

        rows = progress.rows
        total = max(rows.completed + rows.unfinished + rows.given_up, 1)
        lines = Table.grid(padding=(0, 2))
        lines.add_row()
        lines.add_row(
            "orders arrived",
            ProgressBar(
                total=progress.orders_planned, completed=progress.orders_arrived, width=_BAR_WIDTH
            ),
            f"{progress.orders_arrived} of {progress.orders_planned}",
        )
        lines.add_row(
            "rows completed",
            ProgressBar(total=total, completed=rows.completed, width=_BAR_WIDTH),
            f"{rows.completed} of {total}",
        )
        lines.add_row(
            "service",
            "[green]up[/]" if progress.is_service_up else "[red]down[/]",
            f"{progress.pushes_per_second:.0f} pushes/s",
        )
        lines.add_row("waiting", f"{rows.pending} pending, {rows.in_flight} in flight")
        return lines


def print_summary(summary: Summary) -> None:
    """Say on stdout what came of it, what is counted where, and what to look at next."""
    print()
    for name, text in _lines(summary):
        width, indent = _SUMMARY_WIDTH, " " * _NAME_WIDTH
        print(
            textwrap.fill(
                text, width, initial_indent=f"{name:<{_NAME_WIDTH}}", subsequent_indent=indent
            )
        )
    print("" if summary.problems else _NEXT, flush=True)


def _lines(s: Summary) -> Iterator[tuple[str, str]]:
    yield "orders", f"{s.orders}, with {s.rows} rows: {s.rows_completed} completed"
    yield "pushes", f"{s.patches} PATCHes reached the service"
    yield "retries", f"{s.pushes_not_proven} pushes proved nothing: {s.retries} retries of rows"
    outside = _share(s.first_try_outside, s.rows_outside)
    inside = _share(s.first_try_inside, s.rows_inside)
    yield "first try", f"{outside} of the rows outside of the outage; {inside} of those that met it"
    if s.p50_ms is not None and s.p99_ms is not None:
        latency = f"p50 {s.p50_ms:.0f} ms, p99 {s.p99_ms:.0f} ms"
        # Those that arrived while what had waited was still pushed are among them.
        where = "of the rows outside of the outage, the catching-up after it included"
        yield "latency", f"{latency} from insert to completed, {where}"
    if s.outage_seconds is not None:
        recovery = f"{s.recovery_seconds or 0:.1f} s after its end"
        yield (
            "outage",
            f"{s.outage_seconds:.1f} s; {recovery} the last row it held up was completed",
        )
    equal = f"{s.flags_equal} of {s.flags} equal"
    yield "flags", f"{equal}, in the outbox and at the service ({s.flags_set} of them: deducted)"
    yield "overlaps", f"{s.overlapping_pushes} pushes of an order during another one of it"
    yield "took", f"{s.total_seconds:.1f} s in all"
    for problem in s.problems:
        yield "NOT RIGHT", problem


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({100 * part / whole:.1f}%)" if whole else "0 of 0"
