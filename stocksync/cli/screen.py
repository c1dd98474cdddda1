"""Screen: the whole terminal, drawn anew in place, and given back as it was."""

import os
import sys
from collections.abc import Sequence
from typing import Self

from stocksync.cli.widths import cut

# The alternate screen, without a cursor; lines that are too long do not wrap.
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"
_LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_HOME, _TO_END_OF_LINE, _TO_END = "\x1b[H", "\x1b[K", "\x1b[J"
# Letters of ours that an old terminal may not have.
_PLAIN = str.maketrans({"…": "...", "–": "-", "×": "x"})
# A terminal that does not say how large it is.
_USUAL_SIZE = os.terminal_size((80, 24))


class Screen:
    """Entered, it is ours; at the end, however that comes, what was there before is back."""

    def __enter__(self) -> Self:
        """Take the terminal."""
        self.enter()
        return self

    def __exit__(self, *_: object) -> None:
        """Give it back."""
        self.leave()

    @staticmethod
    def is_there() -> bool:
        """Whether stdout is a terminal that can be drawn upon."""
        return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"

    def enter(self) -> None:
        """Take the terminal."""
        self._write(_ENTER)

    def leave(self) -> None:
        """Give it back."""
        self._write(_LEAVE)

    @property
    def size(self) -> os.terminal_size:
        """Columns and lines, at this moment."""
        try:
            size = os.get_terminal_size(sys.stdout.fileno())
        except OSError:
            return _USUAL_SIZE
        return size if size.columns and size.lines else _USUAL_SIZE

    def draw(self, lines: Sequence[str], *, first_as: str | None = None) -> None:
        """Draw as many of the lines as there is room for, each cut to its width.

        `first_as`: the first line with its colours, which take no room.
        """
        size = self.size
        # Not up to the last column: there, "to the end of the line" would wipe the last letter.
        room = size.columns - 1
        shown = [cut(spelled(line), room, mark=spelled("…")) for line in lines]
        hidden = len(shown) - size.lines
        if hidden > 0:
            shown = shown[: size.lines]
            if size.lines > 1:
                shown[-1] = cut(f"({hidden + 1} lines more)", room, mark="")
        if first_as is not None and shown[0] == lines[0]:
            shown[0] = first_as
        # Over what is there, not after wiping it: it does not flicker.
        drawn = f"{_TO_END_OF_LINE}\n".join(shown)
        self._write(f"{_HOME}{drawn}{_TO_END_OF_LINE}{_TO_END}")

    @staticmethod
    def _write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def spelled(text: str) -> str:
    """The text with what the terminal's encoding does not have spelled out."""
    encoding = sys.stdout.encoding or "ascii"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_PLAIN).encode(encoding, "backslashreplace").decode(encoding)
    return text
