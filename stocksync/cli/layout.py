"""Layout: times, tables and texts for the eyes, as wide as the terminal."""

import shutil
import textwrap
from collections.abc import Collection, Sequence
from datetime import UTC, datetime

_LONGEST_CELL = 40
# A cell that gives way to its neighbours keeps so much; below that it is of no use.
_SHORTEST_CELL = 8
# A terminal narrower than this has to wrap for us.
_NARROWEST = 40
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


def columns() -> int | None:
    """How wide the terminal is; None: what is written goes elsewhere, and nobody looks at it."""
    width = shutil.get_terminal_size((0, 0)).columns
    return max(width, _NARROWEST) if width else None


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    remarks: Sequence[str | None] = (),
    cut: Collection[str] = (),
    drop: Sequence[str] = (),
) -> str:
    """Aligned columns, numbers to the right; a remark stands below its row.

    No row is wider than the terminal: columns that `drop` names are left out, the first one first,
    as long as it takes, and those that `cut` names are cut.
    """
    cells = {
        name: [one_line(cell, _LONGEST_CELL) for cell in column]
        for name, *column in zip(head, *rows, strict=True)
    }
    widths = _fitted(
        {name: max(map(len, (name, *column))) for name, column in cells.items()}, cut, drop
    )
    lines = [[_padded(name, width, cells[name]) for name, width in widths.items()]]
    for number in range(len(rows)):
        lines.append(
            [
                _padded(one_line(cells[name][number], width), width, cells[name])
                for name, width in widths.items()
            ]
        )
        if number < len(remarks) and remarks[number]:
            longest = (columns() or 4 * _LONGEST_CELL) - 4
            lines.append([f"    {one_line(remarks[number] or '', longest)}"])
    return "\n".join("  ".join(line).rstrip() for line in lines)


def _fitted(widths: dict[str, int], cut: Collection[str], drop: Sequence[str]) -> dict[str, int]:
    """The widths with which a row fits into the terminal, as far as it can."""
    room = columns()
    if room is None:
        return widths
    for name in drop:
        least = {n: min(w, _SHORTEST_CELL) if n in cut else w for n, w in widths.items()}
        if _sum(least) > room:
            widths = {n: w for n, w in widths.items() if n != name}
    while _sum(widths) > room:
        widest = max((n for n in widths if n in cut), key=widths.__getitem__, default=None)
        if widest is None or widths[widest] <= _SHORTEST_CELL:
            break
        widths[widest] -= 1
    return widths


def _sum(widths: dict[str, int]) -> int:
    return sum(widths.values()) + 2 * (len(widths) - 1)


def _padded(cell: str, width: int, column: Sequence[str]) -> str:
    is_number = all(each.lstrip("+-").isdigit() for each in column)
    return cell.rjust(width) if is_number else cell.ljust(width)


def pairs(pairs: Sequence[tuple[str, str | None]]) -> str:
    """Labels and values below each other; a value that is None is left out."""
    width = max(len(label) for label, _ in pairs)
    return "\n".join(
        hanging(f"  {label.ljust(width)}  ", value) for label, value in pairs if value is not None
    )


def hanging(label: str, text: str) -> str:
    """A label and a text; where the terminal is too narrow for it, it goes on below itself."""
    text, width = one_line(text), columns()
    if width is None or len(label) + len(text) <= width:
        return f"{label}{text}".rstrip()
    indent = min(len(label), width // 2)
    return textwrap.fill(
        text,
        width=width,
        initial_indent=label,
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
    )
