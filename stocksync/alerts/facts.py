"""Facts of a change, read so that no wording ever fails: what is missing or odd is left unsaid."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stocksync.message import units

LONGEST_ERROR = 200
"""UTF-16 units of an error or a reason: four lines on a phone."""
LONGEST_ID = 64
LONGEST_NAME = 40
LARGEST = 10**15
"""Of our counts and seconds; the floats that it is compared with are exact there."""


@dataclass(frozen=True, slots=True)
class Facts:
    """JSON values by name. An older or a newer daemon may have written them."""

    values: Mapping[str, Any]

    def number(self, name: str) -> float | None:
        """A number; None: there is none."""
        value = self.values.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        # JSON's integers have no end, and its floats may be none.
        return value if math.isfinite(value) and abs(value) < LARGEST else None

    def count(self, name: str) -> int:
        """A whole number, 0 when there is none."""
        return int(self.number(name) or 0)

    def text(self, name: str, longest: int = LONGEST_ERROR) -> str:
        """A short line of foreign text; "": there is none."""
        return line_of(self.raw(name), longest)

    def raw(self, name: str) -> str:
        """A text as it is: for comparing and quoting, not for showing; "": there is none."""
        value = self.values.get(name)
        return value if isinstance(value, str) else ""

    def texts(self, name: str) -> list[str]:
        """Several short lines."""
        return [line_of(each, LONGEST_ERROR) for each in self._list(name) if isinstance(each, str)]

    def each(self, name: str) -> list["Facts"]:
        """Several values that have facts of their own: `examples`, `accounts`, `hours`."""
        return [Facts(each) for each in self._list(name) if isinstance(each, dict)]

    def inner(self, name: str) -> "Facts":
        """A value that has facts of its own."""
        value = self.values.get(name)
        return Facts(value if isinstance(value, dict) else {})

    def time(self, name: str) -> datetime | None:
        """A time; None: there is none."""
        try:
            at = datetime.fromisoformat(self.raw(name))
        except ValueError:
            return None
        return at if at.tzinfo is not None else None

    def _list(self, name: str) -> list[Any]:
        value = self.values.get(name)
        return value if isinstance(value, list) else []


def line_of(text: str, longest: int) -> str:
    """Foreign text as one line of at most so many UTF-16 units, without control characters."""
    # Nobody sees more; and a megabyte is not worth splitting.
    text = text[: 4 * longest]
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if units(text) <= longest:
        return text
    while units(text) > longest - 1:
        # Characters beyond the basic plane are two units each: never cut too little, nor much.
        text = text[: len(text) - max(1, (units(text) - longest) // 2)]
    return text.rstrip() + "…"
