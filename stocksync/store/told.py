"""Told: what the store is told, and what it tells."""

from dataclasses import dataclass, field, fields
from datetime import datetime
from uuid import UUID

from stocksync.model import Push


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a claim begins to look.

    `after`: accounts take turns, this one had the last. `heads`: look at these accounts only, each
    from its place in the queue on; empty: look at everything.
    """

    after: str = ""
    heads: dict[str, tuple[datetime, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a claim took."""

    pushes: tuple[Push, ...]
    lease_until: float
    """By this host's monotonic clock, in seconds; the database's lease ends no earlier."""
    next_place: Place
    """Where the next claim may begin."""
    is_held: bool
    """The service's circuit is open, or all is paused: nothing goes but probes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What became of a settlement."""

    lost: frozenset[UUID] = frozenset()
    """Rows that somebody else holds by now."""
    blocked: frozenset[UUID] = frozenset()
    """Rows that somebody else has locked: to be settled later."""
    given_up: frozenset[UUID] = frozenset()
    """Rows that are failed now."""
    is_clean: bool = True
    """False: circuits have something against the service or an account that was proven now."""
    completed_ages: tuple[float, ...] = ()
    """Of each row completed, the seconds since its insert."""
    first_tries: int = 0
    """How many of these took one attempt."""
    retried_seconds: float = 0.0
    """Those of the others, in sum."""
    row_retries: int = 0
    """Rows whose retry counted."""

    def plus(self, other: "Settled") -> "Settled":
        """Both together."""
        return Settled(
            lost=self.lost | other.lost,
            blocked=self.blocked | other.blocked,
            given_up=self.given_up | other.given_up,
            is_clean=self.is_clean and other.is_clean,
            completed_ages=self.completed_ages + other.completed_ages,
            first_tries=self.first_tries + other.first_tries,
            retried_seconds=self.retried_seconds + other.retried_seconds,
            row_retries=self.row_retries + other.row_retries,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescued:
    """Rows and orders whose lease had expired."""

    row_count: int
    order_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What was done, in sums: the columns of `stock_sync_minutes`."""

    attempts: int = 0
    """Pushes, answered or not; no probes."""
    unproven: int = 0
    """Of these."""
    orders_pushed: int = 0
    """Proven; probes too."""
    rows_completed: int = 0
    rows_first_try: int = 0
    """Of these, with one attempt."""
    retried_seconds: float = 0.0
    """From insert to completion, in sum over the others."""
    rows_failed: int = 0
    """For good."""
    row_retries: int = 0
    push_ms: int = 0
    """In sum over the attempts."""
    slowest_push_ms: int = 0

    def plus(self, other: "Counts") -> "Counts":
        """Both together."""
        sums = {
            each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(self)
        }
        slowest_push_ms = max(self.slowest_push_ms, other.slowest_push_ms)
        return Counts(**(sums | {"slowest_push_ms": slowest_push_ms}))
