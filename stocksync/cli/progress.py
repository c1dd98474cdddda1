"""Progress: one line on a terminal that grows, as soon as something takes long."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Whoever looks at a terminal begins to wonder after so long.
QUIET_SECONDS = 3.0


@contextmanager
def progress(*, quiet_seconds: float | None = None) -> Iterator[Callable[[str], None]]:
    """Give what shows such a line; on anything but a terminal it shows nothing."""
    quiet_seconds = QUIET_SECONDS if quiet_seconds is None else quiet_seconds
    began_at = time.monotonic()
    longest = 0

    def tell(text: str) -> None:
        nonlocal longest
        if sys.stderr.isatty() and time.monotonic() - began_at >= quiet_seconds:
            longest = max(longest, len(text))
            sys.stderr.write(f"\r{text.ljust(longest)}")
            sys.stderr.flush()

    try:
        yield tell
    finally:
        if longest:
            sys.stderr.write("\n")
