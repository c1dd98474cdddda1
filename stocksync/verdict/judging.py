"""Judging: the verdict and its reasons, one line each (README: "The verdict")."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC
from enum import StrEnum

from stocksync.verdict.numbers import Limits, Numbers
from stocksync.verdict.seen import CircuitSeen, DaemonSeen, Snapshot, TelegramSeen, TimerSeen

# A backlog younger than this is no standstill, however short the lease.
SHORTEST_STANDSTILL_SECONDS = 60.0
# Parked and paused accounts that are reasons by name; the others are counted.
NAMED_ACCOUNTS = 5
_ENDS_BY_ITSELF = "and closes by itself when the service works again"
# The daemon reads its settings when it starts.
_ENDS_WITH_THE_KEY = (
    "and closes by itself when the service takes the key again; if the key here is wrong, correct "
    "STOCK_SYNC_MICROSERVICE_JWT… and restart the daemon"
)


class Verdict(StrEnum):
    """What on-call has to know first."""

    OK = "OK"
    DEGRADED = "DEGRADED"
    """Rows flow, or will again by themselves; something is not as it should be."""
    STALLED = "STALLED"
    """Rows are due and nothing happens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the outbox stands; `reasons` is empty when the verdict is OK."""

    verdict: Verdict
    reasons: tuple[str, ...]
    numbers: Numbers
    circuits: tuple[CircuitSeen, ...]
    """Those that are open or paused."""
    daemons: tuple[DaemonSeen, ...]
    timers: tuple[TimerSeen, ...]
    """Those that a daemon has set, by name."""
    telegram: TelegramSeen
    oldest_snapshot: Snapshot | None
    is_snapshot_hidden: bool = False
    """Somebody holds one, and our role may not see since when."""
    limits: Limits
    """By which it was judged."""

    @property
    def has_daemon(self) -> bool:
        """At least one daemon lives."""
        return any(daemon.is_alive for daemon in self.daemons)


def judge(
    numbers: Numbers,
    daemons: tuple[DaemonSeen, ...],
    circuits: tuple[CircuitSeen, ...],
    timers: tuple[TimerSeen, ...],
    telegram: TelegramSeen,
    *,
    limits: Limits,
) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict, and why it is not OK."""
    degraded = (
        *_held_up(circuits),
        *_above_limits(numbers, limits),
        *_deaf(daemons),
        *_overdue(timers, numbers),
        *_refused(telegram),
    )
    if stalled := _standstill(numbers, daemons, circuits, lease_seconds=limits.lease_seconds):
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
    return any(at and numbers.ago(at) <= limit_seconds for at in times)


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
        ends = _ENDS_WITH_THE_KEY if circuit.wants_credentials else _ENDS_BY_ITSELF
        return (
            f"the service's circuit is open, {ends}: "
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


def _above_limits(numbers: Numbers, limits: Limits) -> Iterable[str]:
    if numbers.pending > limits.max_pending:
        yield f"backlog: {numbers.pending} rows are pending, more than {limits.max_pending}"
    if numbers.stale:
        yield f"stale rows: {numbers.stale}, not done {limits.stale_hours} h after their insert"
    rate = numbers.failure_rate
    if rate is not None and rate > limits.failure_rate_threshold:
        yield (
            f"failure rate: {_percent(rate)}, {numbers.unproven} of {numbers.attempts} pushes in "
            f"{limits.failure_rate_window_minutes} min were not proven; "
            f"the limit is {_percent(limits.failure_rate_threshold)}"
        )


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _overdue(timers: tuple[TimerSeen, ...], numbers: Numbers) -> Iterable[str]:
    for timer in timers:
        if timer.is_overdue:
            yield f"the timer {timer.name} is overdue by {numbers.ago(timer.due_at):.0f} s"


def _refused(telegram: TelegramSeen) -> Iterable[str]:
    if telegram.refused is not None:
        yield f"Telegram takes no messages from us: {telegram.refused}"
