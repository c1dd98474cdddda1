"""Help as wide as the terminal, but for the examples: they are to be pasted."""

import argparse
import textwrap
from collections.abc import Iterator

_WIDEST = 80
# Keeps what belongs together on one line; shown as a plain space.
GLUE = "\u00a0"


class HelpFormatter(argparse.HelpFormatter):
    """Fills paragraphs and the items of lists where they are too wide; an item is indented."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        room = min(width, _WIDEST)
        blocks = text.split("\n\n")
        return "\n\n".join(indent + _filled(block, room) for block in blocks).replace(GLUE, " ")


def _filled(block: str, room: int) -> str:
    is_pasted = block.startswith("examples:\n")
    if is_pasted or max(map(len, block.splitlines()), default=0) <= room:
        return block
    return "\n".join(
        textwrap.fill(
            item,
            room,
            subsequent_indent="    " if item.startswith(" ") else "",
            break_on_hyphens=False,
            break_long_words=False,
        )
        for item in _items(block)
    )


def _items(block: str) -> Iterator[str]:
    """Paragraphs and items, each on one line; deeper indented is what goes on."""
    said = ""
    for line in block.splitlines():
        begins_one = line.startswith("  ") and not line.startswith("   ")
        if said and (begins_one or said.endswith(":")):
            yield said
            said = line
        else:
            said = f"{said} {line.strip()}" if said else line
    yield said
