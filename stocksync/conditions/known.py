"""Known: a condition as it is remembered, and all that is measured at one moment."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from stocksync.changes import Kind

PAUSE = "pause"
"""The kind of a condition that explains and is never told: somebody wished for it."""
EXPLAINING = (Kind.OUTAGE, Kind.PARKED, PAUSE)
PATIENT = (Kind.PARKED, Kind.STALE, Kind.FAILURE_RATE)
"""These can last for weeks, until somebody finds the time: each is told again when it has lasted
twice as long as when it was told last."""
LONGEST_DISTANCE = timedelta(days=1)
"""Between two repeats of these, unless the setting says more."""
SERVICE = ""
"""In place of an account: the service, and so everything."""

LEAST_ATTEMPTS = 20
"""Fewer say nothing of a rate."""

Key = tuple[str, str]
"""A condition's kind, and its account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What lasts, as it is remembered."""

    kind: str
    """A `Kind`, or PAUSE."""
    token_id: str = SERVICE
    since: datetime
    told_at: datetime | None
    """The last time; None: never, like a pause, or an account that is parked by an outage."""
    ended_at: datetime | None = None
    """It is over, and still explains."""
    details: dict[str, Any] = field(default_factory=dict)
    """Of an outage or a parked account: reason, waiting_rows, spans (see `explaining`)."""

    @property
    def key(self) -> Key:
        """There is one of a kind and account."""
        return self.kind, self.token_id

    @property
    def lasts(self) -> bool:
        """It is not over."""
        return self.ended_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """A circuit that is open or paused now."""

    token_id: str
    is_open: bool
    reason: str | None
    opened_at: datetime | None
    probes: int
    is_paused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Turned:
    """A circuit opened, or closed, since the last turn."""

    token_id: str
    is_open: bool
    at: datetime
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Minute:
    """The attempts of a minute, without probes."""

    minute: datetime
    attempts: int
    unproven: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """This moment."""

    now: datetime
    circuits: tuple[Circuit, ...] = ()
    """Looked at after `turned` was taken."""
    turned: tuple[Turned, ...] = ()
    """In order."""
    behind: Mapping[Key, int] = field(default_factory=dict)
    """Rows that what explains holds up, or has left behind: due now, or before its end if it has
    ended. The service's are those that no parked or paused account holds up."""
    pending: int = 0
    in_flight: int = 0
    proven_seconds: float | None = None
    """Since the service proved something; None: never."""
    due_rows: int = 0
    """That may be claimed."""
    oldest_due_seconds: float | None = None
    backlog_seconds: float | None = None
    """What may be claimed takes so long at the present rate; None: nothing moves."""
    stale: Mapping[str, int] = field(default_factory=dict)
    """Rows by account."""
    stale_examples: tuple[dict[str, Any], ...] = ()
    """The oldest of each account, as facts, oldest first."""
    minutes: tuple[Minute, ...] = ()
    """Of the failure rate's window."""
    error: str | None = None
    """The most frequent one of what is retried."""
    stalled: tuple[str, ...] = ()
    """Why delivery is stalled; empty: it is not."""
    settled_seconds: float | None = None
    """Since a row was completed; None: never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Settings: what is unusual, and how often it is said."""

    max_pending: int
    stale_hours: int
    failure_rate_threshold: float
    failure_rate_window_minutes: int
    repeat_minutes: int
    lease_seconds: float

    @property
    def window(self) -> timedelta:
        """The failure rate's."""
        return timedelta(minutes=self.failure_rate_window_minutes)

    def is_to_repeat(self, condition: Condition, now: datetime) -> bool:
        """It was told, and long enough ago."""
        if condition.told_at is None:
            return False
        distance = timedelta(minutes=self.repeat_minutes)
        if condition.kind in PATIENT:
            lasted = condition.told_at - condition.since
            distance = max(distance, min(lasted, LONGEST_DISTANCE))
        return now - condition.told_at >= distance


def failure_rate(minutes: Iterable[Minute]) -> float | None:
    """Attempts not proven by attempts; None: there are too few to say."""
    counted = tuple(minutes)
    attempts = sum(minute.attempts for minute in counted)
    if attempts < LEAST_ATTEMPTS:
        return None
    return sum(minute.unproven for minute in counted) / attempts
