"""Layout: times, tables and texts for the eyes, as wide as the terminal."""

import shutil
import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime

from stocksync.cli import widths

# A terminal narrower than this has to wrap for us.
_NARROWEST = 40
# With less room beside its label a text stands below it.
_LEAST_BESIDE = 20
# From here on the next larger unit says it better.
_SCALE = ((90, 1, "s"), (90 * 60, 60, "min"), (48 * 3600, 3600, "h"), (float("inf"), 86400, "days"))


def moment(at: datetime, now: datetime) -> str:
    """A time, and how far it is from now."""
    return f"{utc(at)} UTC ({distance(at, now)})"


def utc(at: datetime) -> str:
    """A time to the second."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def precise(at: datetime) -> str:
    """A time to the millisecond: of what happens within one push."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]


def distance(at: datetime, now: datetime) -> str:
    """How far a time is from now: `in 4 min`, `3 s ago`."""
    seconds = (at - now).total_seconds()
    if abs(seconds) < 1:
        return "now"
    return f"in {span(seconds)}" if seconds > 0 else f"{span(-seconds)} ago"


def span(seconds: float) -> str:
    """A length of time, in the unit that says it best."""
    return next(f"{seconds / unit:.0f} {name}" for end, unit, name in _SCALE if seconds < end)


def count(number: int, what: str) -> str:
    """So many of them: `1 row`, `2 rows`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def one_line(text: str, longest: int | None = None) -> str:
    """The text without anything that moves a terminal's cursor."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if longest is None else widths.cut(shown, longest)


def columns() -> int | None:
    """How wide the terminal is; None: what is written goes elsewhere, and nobody looks at it."""
    width = shutil.get_terminal_size((0, 0)).columns
    return max(width, _NARROWEST) if width else None


def pairs(pairs: Sequence[tuple[str, str | None]]) -> str:
    """Labels and values below each other; a value that is None is left out."""
    width = max(len(label) for label, _ in pairs)
    return "\n".join(
        hanging(f"  {label.ljust(width)}  ", value) for label, value in pairs if value is not None
    )


def hanging(label: str, text: str, *, room: int | None = None) -> str:
    """A label and a text; where `room` (the terminal) is too narrow, it goes on below itself."""
    text = one_line(text)
    room = columns() if room is None else room
    if room is None or widths.width(label + text) <= room:
        return f"{label}{text}".rstrip()
    beside = room - widths.width(label)
    longest_word = max(map(len, text.split()), default=0)
    if beside < _LEAST_BESIDE or beside < longest_word <= room:
        # An id in two pieces is none.
        indent = " " * max(min(4, room - longest_word), 0)
        return f"{label.rstrip()}\n{_wrapped(text, room, indent)}"
    return _wrapped(text, room, " " * min(widths.width(label), room // 2), label)


def _wrapped(text: str, room: int, indent: str, label: str | None = None) -> str:
    return textwrap.fill(
        text,
        width=room,
        initial_indent=indent if label is None else label,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )
