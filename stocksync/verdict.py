"""Verdict: whether the outbox moves, from its numbers. Pure: no I/O."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

# A backlog younger than this is no standstill, however short the lease.
SHORTEST_STANDSTILL_SECONDS = 60.0
# What `Numbers.completed_lately` counts.
LATELY_SECONDS = 300.0
# Parked and paused accounts that are reasons by name; the others are counted.
NAMED_ACCOUNTS = 5


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
    """Pending rows that failed before."""
    next_retry_at: datetime | None
    """When the first of them is due, or since when."""
    retry_error: str | None
    """The most frequent error among them."""
    failed_error: str | None
    """The most frequent error among the failed."""
    completed_lately: int
    """Within the last five minutes."""
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
        return None if self.oldest_due_at is None else self._ago(self.oldest_due_at)

    @property
    def claimable_seconds(self) -> float | None:
        """How long something may have been claimed and was not; None: nothing is due."""
        return None if self.claimable_since is None else self._ago(self.claimable_since)

    @property
    def completed_per_second(self) -> float:
        """Over the last five minutes."""
        return self.completed_lately / LATELY_SECONDS

    @property
    def backlog_seconds(self) -> float | None:
        """How long what may be claimed takes at the present rate; None: nothing moves."""
        if not self.due_rows:
            return 0.0
        return self.due_rows / self.completed_per_second if self.completed_lately else None

    def _ago(self, at: datetime) -> float:
        return (self.now - at).total_seconds()


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
    circuits: tuple[CircuitSeen, ...]
    """Those that are open or paused."""
    daemons: tuple[DaemonSeen, ...]
    oldest_snapshot: Snapshot | None

    @property
    def has_daemon(self) -> bool:
        """At least one daemon lives."""
        return any(daemon.is_alive for daemon in self.daemons)


def judge(
    numbers: Numbers,
    daemons: tuple[DaemonSeen, ...],
    circuits: tuple[CircuitSeen, ...],
    *,
    lease_seconds: float,
) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict and its reasons, one line each (README: "The verdict")."""
    degraded = (*_held_up(circuits), *_deaf(daemons))
    if stalled := _standstill(numbers, daemons, circuits, lease_seconds=lease_seconds):
        return Verdict.STALLED, (stalled, *degraded)
    return (Verdict.DEGRADED, degraded) if degraded else (Verdict.OK, ())


def _standstill(
    numbers: Numbers,
    daemons: tuple[DaemonSeen, ...],
    circuits: tuple[CircuitSeen, ...],
    *,
    lease_seconds: float,
) -> str | None:
    if not any(daemon.is_alive for daemon in daemons):
        return _nobody_there(numbers, circuits)
    claimable_seconds = numbers.claimable_seconds
    limit_seconds = max(SHORTEST_STANDSTILL_SECONDS, 2 * lease_seconds)
    if claimable_seconds is None or claimable_seconds <= limit_seconds:
        return None
    if _settled_within(numbers, daemons, limit_seconds):
        return None
    return f"{_due(numbers)}, and nothing was settled in the last {limit_seconds:.0f} s"


def _nobody_there(numbers: Numbers, circuits: tuple[CircuitSeen, ...]) -> str | None:
    if numbers.oldest_due_at is not None:
        return f"{_due(numbers)}, and no daemon is running"
    # An outage ends by probes, and probes need a daemon. A pause may be meant for stopping it.
    is_all_paused = any(circuit.is_service and circuit.is_paused for circuit in circuits)
    behind = sum(c.waiting_rows or 0 for c in circuits if c.is_open and not c.is_paused)
    if behind and not is_all_paused:
        return f"rows due: {behind} behind an open circuit, and no daemon is running to probe it"
    return None


def _due(numbers: Numbers) -> str:
    kinds = (("rows due", numbers.due_rows), ("orders to be pushed again", numbers.due_orders))
    what = ", ".join(f"{kind}: {count}" for kind, count in kinds if count)
    return f"{what}, waiting for up to {numbers.oldest_due_seconds:.0f} s"


def _settled_within(
    numbers: Numbers, daemons: tuple[DaemonSeen, ...], limit_seconds: float
) -> bool:
    # A daemon that stopped in order is forgotten; what it completed is not.
    times = [numbers.last_completed_at, *(daemon.settled_at for daemon in daemons)]
    return any(at and (numbers.now - at).total_seconds() <= limit_seconds for at in times)


def _held_up(circuits: tuple[CircuitSeen, ...]) -> Iterable[str]:
    accounts = [circuit for circuit in circuits if not circuit.is_service]
    for circuit in (*(c for c in circuits if c.is_service), *accounts[:NAMED_ACCOUNTS]):
        if circuit.is_paused:
            yield _paused(circuit)
        if circuit.is_open:
            yield _open(circuit)
    if others := accounts[NAMED_ACCOUNTS:]:
        rows = sum(circuit.waiting_rows or 0 for circuit in others)
        yield f"accounts parked or paused beside these: {len(others)}{_waiting(rows, 'them')}"


def _paused(circuit: CircuitSeen) -> str:
    who = "everything" if circuit.is_service else f"the account {circuit.token_id}"
    assert circuit.paused_until is not None  # noqa: S101 - a pause has an end
    until = f"{circuit.paused_until.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    rows = 0 if circuit.is_open else circuit.waiting_rows
    return f"{who} is paused until {until} UTC by {circuit.paused_by}{_waiting(rows, 'it')}"


def _open(circuit: CircuitSeen) -> str:
    if circuit.is_service:
        return (
            "the service's circuit is open, and closes by itself when the service works again: "
            f"{circuit.reason}{_waiting(circuit.waiting_rows, 'the service')}"
        )
    rows = _waiting(circuit.waiting_rows, "it")
    return f"the account {circuit.token_id} is parked: {circuit.reason}{rows}"


def _waiting(rows: int | None, what: str) -> str:
    if not rows:
        return ""
    return f"; 1 row waits for {what}" if rows == 1 else f"; {rows} rows wait for {what}"


def _deaf(daemons: tuple[DaemonSeen, ...]) -> Iterable[str]:
    for daemon in daemons:
        if daemon.is_alive and daemon.is_listening is False:
            yield f"the daemon {daemon.name} does not hear of new rows: it finds them by polling"
