"""Output: stdout and stderr, which keep no verb from its work, whatever has become of them."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


@contextmanager
def outlets() -> Iterator[None]:
    """Let nobody hear from stdout and stderr that they are closed, full, or read no more."""
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(_outlet, streams)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = streams


def lost() -> OSError | None:
    """Why stdout did not take all that was written; None: it did."""
    sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw.error if isinstance(raw, _Descriptor) else None


class _Descriptor(io.FileIO):
    """What it does not take is lost, and the reason kept."""

    error: OSError | None = None

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.error = error
            return memoryview(data).nbytes


def _outlet(stream: TextIO | None) -> TextIO:
    if stream is None:  # closed
        return Path(os.devnull).open("w", encoding="utf-8")
    # An order id may have letters that the terminal's encoding has not.
    errors = "backslashreplace"
    try:
        descriptor = stream.fileno()
    except io.UnsupportedOperation:  # in memory
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)
        return stream
    with suppress(OSError):
        stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Descriptor(descriptor, "w", closefd=False)),
        encoding=stream.encoding,
        errors=errors,
        line_buffering=isinstance(stream, io.TextIOWrapper) and stream.line_buffering,
    )
