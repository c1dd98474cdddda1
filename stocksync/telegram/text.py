"""Text as Telegram counts it, in UTF-16 units, and cut so that it fits. No I/O."""

from collections.abc import Iterable
from dataclasses import replace

from stocksync.message import Part, units

LONGEST_TEXT = 4096
"""UTF-16 units of a message's text; Bot API, sendMessage."""
LONGEST_CAPTION = 1024
"""UTF-16 units of a picture's caption; Bot API, sendPhoto."""

_ELLIPSIS = "…"


def cut(parts: Iterable[Part], longest: int) -> tuple[Part, ...]:
    """The parts, of `longest` units together; what had to be cut ends in "…"."""
    parts = tuple(parts)
    if sum(units(_text(part)) for part in parts) <= longest:
        return parts
    kept: list[Part] = []
    room = longest - units(_ELLIPSIS)
    for part in parts:
        beginning = _beginning(_text(part), room)
        kept.append(beginning if isinstance(part, str) else replace(part, text=beginning))
        room -= units(beginning)
        if beginning != _text(part):
            break
    return (*(part for part in kept if _text(part)), _ELLIPSIS)


def _text(part: Part) -> str:
    return part if isinstance(part, str) else part.text


def _beginning(text: str, room: int) -> str:
    """As many whole characters as there is room for."""
    for count, character in enumerate(text):
        room -= units(character)
        if room < 0:
            return text[:count]
    return text
