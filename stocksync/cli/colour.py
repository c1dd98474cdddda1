"""Colour: on a terminal only, and never with NO_COLOR."""

import os
import sys

_RESET = "\x1b[0m"


def is_coloured() -> bool:
    """Whether what is written to stdout may have colours (https://no-color.org)."""
    is_wished = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return is_wished and sys.stdout.isatty()


def green(text: str) -> str:
    """All is well."""
    return _painted(text, "32;1")


def yellow(text: str) -> str:
    """Worth a look."""
    return _painted(text, "33;1")


def red(text: str) -> str:
    """Somebody is needed."""
    return _painted(text, "31;1")


def _painted(text: str, codes: str) -> str:
    return f"\x1b[{codes}m{text}{_RESET}" if is_coloured() else text
