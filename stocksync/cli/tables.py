"""Tables: aligned columns that fit into the terminal, whatever has to give way for it."""

from collections.abc import Callable, Collection, Mapping, Sequence

from stocksync.cli.layout import columns, one_line
from stocksync.cli.widths import filled, width

_LONGEST_CELL = 40
# A cell that gives way to its neighbours keeps so much; below that it is of no use.
_SHORTEST_CELL = 8
_BETWEEN = "  "
# A remark where nobody looks at it: as long as anybody would read.
_LONGEST_REMARK = 156


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    remarks: Sequence[str | None] = (),
    cut: Collection[str] = (),
    drop: Sequence[str] = (),
    paint: Mapping[str, Callable[[str], str]] | None = None,
) -> str:
    """Aligned columns, numbers to the right; a remark stands below its row.

    No row is wider than the terminal: columns that `drop` names are left out, the first one first,
    as long as it takes, and those that `cut` names are cut. Where that is not enough, the first
    column has a line of its own above the others. `paint` gives a column's cells their colour.
    """
    cells = {
        name: [one_line(cell, _LONGEST_CELL) for cell in (name, *column)]
        for name, *column in zip(head, *rows, strict=True)
    }
    room = columns()
    fitted = _fitted(cells, cut, drop, room)
    is_stacked = room is not None and _sum(fitted) > room and len(fitted) > 1
    if is_stacked and room is not None:
        others = {name: column for name, column in cells.items() if name != head[0]}
        fitted = _fitted(others, cut, drop, room - len(_BETWEEN))
    lines = []
    for n in range(len(rows) + 1):
        row = _BETWEEN.join(
            _cell(cells[name], n, fitted[name], (paint or {}).get(name)) for name in fitted
        ).rstrip()
        lines += [cells[head[0]][n], f"{_BETWEEN}{row}"] if is_stacked else [row]
        if 0 < n <= len(remarks) and (remark := remarks[n - 1]):
            lines.append(f"    {one_line(remark, (room or _LONGEST_REMARK + 4) - 4)}")
    return "\n".join(lines)


def _cell(column: Sequence[str], n: int, room: int, paint: Callable[[str], str] | None) -> str:
    is_number = all(each.lstrip("+-").isdigit() for each in column[1:])
    text = one_line(column[n], room)
    shown = filled(text, room, is_right=is_number)
    # Colours take no room: painted last.
    return shown.replace(text, paint(text), 1) if paint and n else shown


def _fitted(
    cells: Mapping[str, Sequence[str]],
    cut: Collection[str],
    drop: Sequence[str],
    room: int | None,
) -> dict[str, int]:
    """The widths with which a row fits into the room, as far as it can."""
    widths = {name: max(map(width, column)) for name, column in cells.items()}
    if room is None:
        return widths
    for name in drop:
        least = {n: min(w, _SHORTEST_CELL) if n in cut else w for n, w in widths.items()}
        if _sum(least) > room:
            widths.pop(name, None)
    while _sum(widths) > room:
        widest = max((n for n in widths if n in cut), key=widths.__getitem__, default=None)
        if widest is None or widths[widest] <= _SHORTEST_CELL:
            break
        widths[widest] -= 1
    return widths


def _sum(widths: Mapping[str, int]) -> int:
    return sum(widths.values()) + len(_BETWEEN) * (len(widths) - 1)
