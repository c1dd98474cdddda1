"""Layout: times, tables and texts for the eyes."""

from collections.abc import Sequence
from datetime import UTC, datetime

_LONGEST_CELL = 40
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
    return shown if longest is None or len(shown) <= longest else shown[: longest - 1] + "…"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns; numbers to the right."""
    cells = [[one_line(cell, _LONGEST_CELL) for cell in row] for row in rows]
    columns = list(zip(head, *cells, strict=True))
    widths = [max(map(len, column)) for column in columns]
    is_number = [all(cell.lstrip("+-").isdigit() for cell in column[1:]) for column in columns]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, is_number, strict=True)
        ).rstrip()
        for row in [list(head), *cells]
    )


def pairs(pairs: Sequence[tuple[str, str | None]]) -> str:
    """Labels and values below each other; a value that is None is left out."""
    width = max(len(label) for label, _ in pairs)
    return "\n".join(
        f"  {label.ljust(width)}  {one_line(value)}" for label, value in pairs if value is not None
    )
