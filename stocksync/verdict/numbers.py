"""Numbers: how much waits, flows and fails, at one moment; and the limits of what is usual."""

from dataclasses import dataclass, field
from datetime import datetime

# A failure rate of fewer pushes than these says nothing.
LEAST_ATTEMPTS = 20
# Rows flow for so long until their rate says something: what was done is told every five seconds.
# Some few that were done before thousands came say nothing for longer.
SHORTEST_FLOW_SECONDS, LEAST_FLOW_SECONDS = 10.0, 60.0
LEAST_FLOW = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is still usual: settings of the relay and of the monitor (README: "Settings")."""

    lease_seconds: float = 60
    max_pending: int = 1000
    """More pending rows are a backlog."""
    stale_hours: int = 6
    failure_rate_threshold: float = 0.1
    failure_rate_window_minutes: int = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """The outbox in numbers. What was done is counted when daemons tell it, every few seconds."""

    pending: int
    processing: int
    completed: int | None
    """None, like `cancelled`: not counted, as that takes a look at every row."""
    failed: int
    cancelled: int | None
    stale: int
    """Pending and in flight, older than the limit, and tried or due since they were inserted."""
    stale_accounts: dict[str, int] = field(default_factory=dict)
    """Of these, by account."""
    due_rows: int
    """That may be claimed: pending rows whose time has come, and rows whose lease ran out."""
    due_orders: int
    """That may be claimed: orders to be pushed again whose time has come."""
    oldest_due_at: datetime | None
    """When the first of both came due."""
    claimable_since: datetime | None
    """Since when the first of both may be claimed: it is due, and no pause holds it up."""
    waiting_rows: int
    """Due as well, but held up by a circuit or a pause; so are:"""
    waiting_orders: int
    next_due_at: datetime | None
    """When the next pending row comes due; None: there is none to come."""
    retrying: int
    """Pending rows that failed before, but for those that a circuit or a pause holds up."""
    next_retry_at: datetime | None
    """When the first of them is due, or since when."""
    retry_error: str | None
    """The most frequent error among the first thousand of them."""
    failed_error: str | None
    """The most frequent error among a thousand of the failed."""
    attempts: int
    """Pushes within the failure rate's window, answered or not; no probes."""
    unproven: int
    """Of these."""
    completed_lately: int
    """Rows, within the last five minutes."""
    lately_seconds: float
    """Over which they were completed: 300, or less when nothing was completed before."""
    flowing_rows: int = 0
    """Completed in this minute and the one before, since the last pause of more than 15 s."""
    flowing_seconds: float = 300.0
    """So long."""
    completed_today: int
    """Rows, since midnight UTC."""
    last_completed_at: datetime | None
    first_try_share: float | None
    """Of the rows completed within a day, those that took one attempt; None: there are none."""
    mean_retry_seconds: float | None
    """From insert to completion of the others; None: there are none."""
    orders_to_push_again: int
    ambiguous_orders: int
    now: datetime

    @property
    def oldest_due_seconds(self) -> float | None:
        """How long something that may be claimed has been due; None: nothing is."""
        return None if self.oldest_due_at is None else self.ago(self.oldest_due_at)

    @property
    def claimable_seconds(self) -> float | None:
        """How long something may have been claimed and was not; None: nothing is due."""
        return None if self.claimable_since is None else self.ago(self.claimable_since)

    @property
    def completed_per_second(self) -> float:
        """At present: with a backlog since it flows, else over the last five minutes."""
        if self.due_rows and self.flowing_rows:
            return self.flowing_rows / self.flowing_seconds
        return self.completed_lately / self.lately_seconds

    @property
    def has_just_begun(self) -> bool:
        """Rows flow for so short a time that their rate says nothing of what is left."""
        if not self.due_rows or not self.flowing_rows:
            return False
        is_little = (
            self.flowing_rows < LEAST_FLOW and self.due_rows > LEAST_FLOW * self.flowing_rows
        )
        return self.flowing_seconds < (LEAST_FLOW_SECONDS if is_little else SHORTEST_FLOW_SECONDS)

    @property
    def backlog_seconds(self) -> float | None:
        """How long what is due takes at the present rate.

        None: nobody can say, as nothing moves, all is held up, or it has just begun.
        """
        if not self.due_rows:
            return None if self.waiting_rows else 0.0
        if self.has_just_begun:
            return None
        return self.due_rows / self.completed_per_second if self.completed_lately else None

    @property
    def failure_rate(self) -> float | None:
        """Attempts not proven by attempts; None: there were too few to say."""
        return self.unproven / self.attempts if self.attempts >= LEAST_ATTEMPTS else None

    def ago(self, at: datetime) -> float:
        """So many seconds before this moment."""
        return (self.now - at).total_seconds()
