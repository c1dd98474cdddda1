"""Layout: lines of a message, and what gives way when they are too many for Telegram."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from stocksync.message import Bold, Code, Part, units

LONGEST_TEXT = 4096
"""UTF-16 units, after parsing: Telegram's Bot API, sendMessage."""
LONGEST_CAPTION = 1024
"""The same, sendPhoto."""


class Rank(IntEnum):
    """What gives way first: the highest rank, and of it the last line."""

    HEAD = 0
    ACT = 1
    FACT = 2
    EXAMPLE = 3
    DETAIL = 4


@dataclass(frozen=True, slots=True)
class Line:
    """A line in parts."""

    parts: tuple[Part, ...]
    rank: Rank = Rank.FACT

    @property
    def units(self) -> int:
        """Its length with its line break."""
        return sum(units(text_of(part)) for part in self.parts) + 1

    def as_detail(self) -> "Line":
        """The same, giving way before all that is no detail."""
        return replace(self, rank=Rank.DETAIL)


EMPTY = Line(())


def fitted(
    lines: Sequence[Line], *, longest: int, left_out: Callable[[int], Line]
) -> tuple[Part, ...]:
    """The lines as one text of at most `longest` units; `left_out` says how many gave way."""
    room = longest - sum(line.units for line in lines)
    kept = set(range(len(lines)))
    if room < 0:
        room -= left_out(len(lines)).units
        for index in sorted(kept, key=lambda i: (lines[i].rank, i), reverse=True):
            if room >= 0 or lines[index].rank is Rank.HEAD:
                break
            kept.remove(index)
            room += lines[index].units
    shown = [line for index, line in enumerate(lines) if index in kept]
    # What is left out of a gap's neighbours leaves one gap.
    shown = [
        line
        for line, before in zip(shown, [EMPTY, *shown], strict=False)
        if line.parts or before.parts
    ]
    if len(kept) < len(lines):
        shown.append(left_out(sum(1 for line in lines if line.parts) - _said(shown)))
    return _cut(_joined(shown), longest)


def text_of(part: Part) -> str:
    """A part as plain text."""
    return part if isinstance(part, str) else part.text


def _said(lines: Sequence[Line]) -> int:
    return sum(1 for line in lines if line.parts)


def _joined(lines: Sequence[Line]) -> tuple[Part, ...]:
    """The lines with their breaks; neighbouring plain texts become one part."""
    joined: list[Part] = []
    for number, line in enumerate(lines):
        for part in ("\n", *line.parts) if number else line.parts:
            if isinstance(part, str) and joined and isinstance(joined[-1], str):
                joined[-1] += part
            else:
                joined.append(part)
    while joined and isinstance(joined[-1], str) and not joined[-1].strip():
        joined.pop()
    return tuple(joined)


def _cut(parts: tuple[Part, ...], longest: int) -> tuple[Part, ...]:
    """The last resort: heads alone are too long."""
    kept: list[Part] = []
    room = longest
    for part in parts:
        text = text_of(part)
        while units(text) > room:
            text = text[: len(text) - max(1, (units(text) - room) // 2)]
        room -= units(text)
        if text:
            kept.append(text if isinstance(part, str) else type(part)(text))
        if text != text_of(part):
            break
    return tuple(kept)


def headline(mark: str, text: str) -> Line:
    """The first line: a mark that says at a glance how bad it is, and what happened."""
    return Line((f"{mark} ", Bold(text)), Rank.HEAD)


def command(text: str) -> Line:
    """A command on a line of its own, to be copied with a touch."""
    return Line((Code(text),), Rank.ACT)
