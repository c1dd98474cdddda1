"""Metering: the relay says what it does to whoever counts it, and does not know who that is."""

from typing import Protocol

from stocksync.model import Outcome
from stocksync.store import Settled


class Meter(Protocol):
    """Counts what the relay does (`metrics.Metrics`); must take no time."""

    def pushed(self, outcome: Outcome | None, *, seconds: float) -> None:
        """A push has ended; no outcome: it was broken off."""

    def claimed(self, orders: int, *, seconds: float) -> None:
        """A claiming statement took so many orders."""

    def settled(self, settled: Settled, *, seconds: float) -> None:
        """A settling statement did this."""


class Uncounted:
    """A meter that counts nothing."""

    def pushed(self, outcome: Outcome | None, *, seconds: float) -> None:
        """Pass over it."""

    def claimed(self, orders: int, *, seconds: float) -> None:
        """Pass over it."""

    def settled(self, settled: Settled, *, seconds: float) -> None:
        """Pass over it."""
