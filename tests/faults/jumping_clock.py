"""A wall clock that jumps; as `sitecustomize.py` on a daemon's PYTHONPATH it is loaded first.

Whoever asks for the time of day gets it moved by as many seconds as the file CLOCK_OFFSET_FILE
says at that moment. The monotonic clock goes on, as it does on a host whose date is set.
"""

import datetime as dt
import os
import time
from pathlib import Path

_OFFSET = Path(os.environ["CLOCK_OFFSET_FILE"])
_time = time.time
_time_ns = time.time_ns
_datetime = dt.datetime


def _offset_seconds() -> int:
    return int(_OFFSET.read_text() or 0)


class _IsAnyDatetime(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _datetime)


class _Datetime(_datetime, metaclass=_IsAnyDatetime):
    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> _datetime:  # type: ignore[override]
        return _datetime.now(tz) + dt.timedelta(seconds=_offset_seconds())

    @classmethod
    def utcnow(cls) -> _datetime:  # type: ignore[override]
        return cls.now(dt.UTC).replace(tzinfo=None)


time.time = lambda: _time() + _offset_seconds()
time.time_ns = lambda: _time_ns() + _offset_seconds() * 1_000_000_000
dt.datetime = _Datetime  # type: ignore[misc]
