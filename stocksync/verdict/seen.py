"""Seen: what works for the outbox and what holds it up, at one moment."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stocksync.circuit import CREDENTIALS


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitSeen:
    """A circuit that is open or paused, for people."""

    token_id: str
    """'' is the service's."""
    is_open: bool
    reason: str | None
    opened_at: datetime | None
    probes: int
    """Since it opened."""
    probe_at: datetime | None
    """The next probe, not before."""
    is_probing: bool
    """A probe is in flight."""
    is_paused: bool
    paused_until: datetime | None
    paused_by: str | None
    waiting_rows: int | None = None
    """Due rows that it holds up, but for those that another circuit does; None: not counted."""

    @property
    def is_service(self) -> bool:
        """Of the service, or, as a pause, of all; otherwise of an account."""
        return not self.token_id

    @property
    def wants_credentials(self) -> bool:
        """It is open because the service does not take the key."""
        return self.is_open and (self.reason or "").startswith(CREDENTIALS)


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
class TimerSeen:
    """A timer, and its last turn."""

    name: str
    interval_seconds: int
    due_at: datetime
    """The next turn by the schedule."""
    is_running: bool
    runner: str | None
    """Who has the turn, or had the last one."""
    started_at: datetime | None
    """Of the turn that runs, or of the last one."""
    ended_at: datetime | None
    succeeded_at: datetime | None
    """The start of the last turn that ended well."""
    result: dict[str, Any] | None
    """What that one counted."""
    error: str | None
    """Of the last turn; None: it ended well."""
    is_overdue: bool
    """Its turn has been due for an interval, and nobody took it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TelegramSeen:
    """Telegram, as all daemons share it."""

    refused: str | None
    """Why it takes nothing from us; None: it does, as far as is known."""
    refused_at: datetime | None
    muted_until: datetime | None
    """None: nobody wished for silence, or it is over."""
    muted_by: str | None
    unsent: int
    """Changes of state that not every chat has yet."""
    oldest_unsent_at: datetime | None
