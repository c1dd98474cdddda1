"""Widths: how many columns of a terminal a text takes, which is not its number of characters."""

import unicodedata

_TWO_COLUMNS = frozenset("WF")
# Accents and the like: they stand upon the letter before.
_NO_COLUMN = frozenset({"Mn", "Me", "Cf"})


def width(text: str) -> int:
    """The columns that the text takes."""
    return len(text) if text.isascii() else sum(map(_width, text))


def cut(text: str, room: int, *, mark: str = "…") -> str:
    """The text, or as much of it as fits with a mark that there is more."""
    if width(text) <= room:
        return text
    left = room - len(mark)
    if left < 0:
        return mark[: max(room, 0)]
    kept = []
    for letter in text:
        left -= _width(letter)
        if left < 0:
            break
        kept.append(letter)
    return "".join(kept) + mark


def filled(text: str, room: int, *, is_right: bool = False) -> str:
    """The text with spaces up to the room, after it or before."""
    spaces = " " * (room - width(text))
    return spaces + text if is_right else text + spaces


def _width(letter: str) -> int:
    if unicodedata.category(letter) in _NO_COLUMN:
        return 0
    return 2 if unicodedata.east_asian_width(letter) in _TWO_COLUMNS else 1
