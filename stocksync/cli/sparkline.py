"""Sparklines: a row of numbers as small bars."""

from collections.abc import Sequence

# From nothing to the most; the second for terminals that have no such letters.
_LEVELS = ("▁▂▃▄▅▆▇█", "_.:-=+*#")


def sparkline(numbers: Sequence[float | None], *, room: int, encoding: str = "utf-8") -> str:
    """The last of the numbers that fit into the room, a letter each; None: there was none."""
    levels = _levels(encoding)
    shown = numbers[max(len(numbers) - room, 0) :] if room > 0 else ()
    most = max((number for number in shown if number is not None), default=0)
    return "".join(_level(number, most, levels) for number in shown)


def _level(number: float | None, most: float, levels: str) -> str:
    if number is None:
        return " "
    # Only nothing looks like nothing.
    step = 0 if number <= 0 else 1 + int(number / most * (len(levels) - 2))
    return levels[min(step, len(levels) - 1)]


def _levels(encoding: str) -> str:
    try:
        _LEVELS[0].encode(encoding)
    except UnicodeEncodeError:
        return _LEVELS[1]
    return _LEVELS[0]
