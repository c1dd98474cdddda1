"""Verdict: whether the outbox moves, from its numbers. Pure: no I/O."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

# A backlog younger than this is no standstill, however short the lease.
SHORTEST_STANDSTILL_SECONDS = 60.0


class Verdict(StrEnum):
    """What on-call has to know first (README: "The verdict")."""

    OK = "OK"
    DEGRADED = "DEGRADED"
    """Rows flow, or will again by themselves; something is not as it should be."""
    STALLED = "STALLED"
    """Rows are due and nothing happens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """The outbox in numbers, at one moment."""

    pending: int
    processing: int
    completed: int
    failed: int
    cancelled: int
    due_rows: int
    """Pending rows whose time has come, and rows whose lease ran out."""
    oldest_due_row_at: datetime | None
    last_completed_at: datetime | None
    completed_per_second: float
    """Over the last five minutes."""
    first_try_share: float | None
    """Of the rows completed within a day, those that took one attempt; None: there are none."""
    mean_retry_seconds: float | None
    """From insert to completion of the others; None: there are none."""
    orders_to_push_again: int
    due_orders: int
    """Of these, those whose time has come."""
    oldest_due_order_at: datetime | None
    ambiguous_orders: int
    now: datetime

    @property
    def oldest_due_seconds(self) -> float | None:
        """How long something that may be claimed has waited; None: nothing is due."""
        waiting = [at for at in (self.oldest_due_row_at, self.oldest_due_order_at) if at]
        return (self.now - min(waiting)).total_seconds() if waiting else None

    @property
    def backlog_seconds(self) -> float | None:
        """How long what is due takes at the present rate; None: nothing moves."""
        if not self.due_rows:
            return 0.0
        return self.due_rows / self.completed_per_second if self.completed_per_second else None


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonSeen:
    """A daemon as it last said of itself."""

    host: str
    pid: int
    version: str
    started_at: datetime
    seen_seconds: float
    """Since it was last seen."""
    is_alive: bool
    is_listening: bool | None
    """None: it is set to poll only."""
    in_flight: int
    settled_at: datetime | None

    @property
    def name(self) -> str:
        """Who it is, as the log has it."""
        return f"{self.host}:{self.pid}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A session of the same database that keeps dead rows from being cleaned away."""

    pid: int
    application_name: str | None
    state: str | None
    age_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the outbox stands; `reasons` is empty when the verdict is OK."""

    verdict: Verdict
    reasons: tuple[str, ...]
    numbers: Numbers
    daemons: tuple[DaemonSeen, ...]
    oldest_snapshot: Snapshot | None


def judge(
    numbers: Numbers, daemons: tuple[DaemonSeen, ...], *, lease_seconds: float
) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict and its reasons, one line each (README: "The verdict")."""
    if stalled := _standstill(numbers, daemons, lease_seconds=lease_seconds):
        return Verdict.STALLED, (stalled,)
    deaf = tuple(
        f"the daemon {daemon.name} does not hear of new rows: it finds them by polling"
        for daemon in daemons
        if daemon.is_alive and daemon.is_listening is False
    )
    return (Verdict.DEGRADED, deaf) if deaf else (Verdict.OK, ())


def _standstill(
    numbers: Numbers, daemons: tuple[DaemonSeen, ...], *, lease_seconds: float
) -> str | None:
    waited_seconds = numbers.oldest_due_seconds
    if waited_seconds is None:
        return None
    what = f"{_due(numbers)}, waiting for up to {waited_seconds:.0f} s"
    if not any(daemon.is_alive for daemon in daemons):
        return f"{what}, and no daemon is running"
    limit_seconds = max(SHORTEST_STANDSTILL_SECONDS, 2 * lease_seconds)
    if waited_seconds > limit_seconds and not _settled_within(numbers, daemons, limit_seconds):
        return f"{what}, and nothing was settled in the last {limit_seconds:.0f} s"
    return None


def _due(numbers: Numbers) -> str:
    kinds = (("rows due", numbers.due_rows), ("orders to be pushed again", numbers.due_orders))
    return ", ".join(f"{kind}: {count}" for kind, count in kinds if count)


def _settled_within(
    numbers: Numbers, daemons: tuple[DaemonSeen, ...], limit_seconds: float
) -> bool:
    # A daemon that stopped in order is forgotten; what it completed is not.
    times = [numbers.last_completed_at, *(daemon.settled_at for daemon in daemons)]
    return any(at and (numbers.now - at).total_seconds() <= limit_seconds for at in times)
