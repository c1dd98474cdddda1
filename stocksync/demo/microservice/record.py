"""What the stand-in saw: every PATCH, how many at once, and two of one order at once."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from stocksync.demo.microservice.calls import Call


@dataclass(slots=True, kw_only=True)
class Received:
    """One PATCH, whatever came of it; times are the machine's monotonic clock, in seconds."""

    token_id: str
    order_id: str
    is_stock_updated: bool | None
    """None: not a body that the service takes."""
    arrived_at: float
    applied_at: float | None = None
    """None: the flag was not written (yet)."""
    finished_at: float | None = None
    """Just before the answer goes out: a caller that has it may send the next one."""
    status: int | None = None


class Record:
    """All PATCHes in the order of their arrival."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.most_in_flight = 0
        self.overlaps: list[tuple[str, str]] = []
        """(token, order) of each PATCH that came while another of the same was not finished."""
        self._in_flight: Counter[tuple[str, str]] = Counter()
        self._total_in_flight = 0

    @contextmanager
    def of(self, call: Call) -> Iterator[Received]:
        """Keep a PATCH from its arrival to its end, however it ends."""
        received = Received(
            token_id=call.token_id,
            order_id=call.order_id,
            is_stock_updated=_flag(call.body),
            arrived_at=time.monotonic(),
        )
        key = (call.token_id, call.order_id)
        if self._in_flight[key]:
            self.overlaps.append(key)
        self._in_flight[key] += 1
        self._total_in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._total_in_flight)
        self.received.append(received)
        try:
            yield received
        finally:
            received.finished_at = time.monotonic()
            self._total_in_flight -= 1
            self._in_flight[key] -= 1
            if not self._in_flight[key]:
                del self._in_flight[key]

    def forget(self) -> None:
        """Begin anew; what is in flight stays in flight."""
        self.received.clear()
        self.overlaps.clear()
        self.most_in_flight = self._total_in_flight


def _flag(body: bytes) -> bool | None:
    try:
        value = json.loads(body)["is_stock_updated"]
    except (ValueError, LookupError, TypeError):
        return None
    return value if isinstance(value, bool) else None
