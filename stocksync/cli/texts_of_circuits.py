"""Texts: what holds rows up, for people: the service's circuit, parked accounts, pauses."""

from collections.abc import Sequence
from datetime import datetime

from stocksync.cli.layout import count, distance, hanging, moment, span, utc
from stocksync.verdict import CircuitSeen

# So many accounts are shown; --json has all.
_LONGEST = 10
TO_MEND_AN_ACCOUNT = (
    "see that the microservice has its token, and that the token belongs to the JWT's user; its "
    "rows then flow by themselves within 30 s"
)


def holding(
    circuits: Sequence[CircuitSeen], now: datetime, *, has_reasons: bool = True
) -> list[tuple[str, str]]:
    """A line for each open circuit and each pause; `has_reasons`: says why it is open."""
    lines: list[tuple[str, str]] = []
    for circuit in circuits[:_LONGEST]:
        if circuit.paused_until is not None:
            lines.append(("paused", _paused(circuit, now)))
        if circuit.is_open:
            label = "circuit" if circuit.is_service else "parked"
            lines.append((label, _open(circuit, now, has_reason=has_reasons)))
    hidden = len(circuits) - _LONGEST
    if hidden > 0:
        lines.append(("parked", f"or paused: {count(hidden, 'account')} more, see --json"))
    return lines


def paused(until: datetime, *, token_id: str, minutes: int, by: str) -> str:
    """What a pause did."""
    return hanging(
        "",
        f"{_whose(token_id)} is paused: nothing is claimed for {count(minutes, 'minute')}, until "
        f"{utc(until)} UTC; recorded as by {by}",
    )


def resumed(*, token_id: str, was_paused: bool, still: Sequence[CircuitSeen]) -> str:
    """What a resume did, and the pauses that remain."""
    who = _whose(token_id)
    lines = [f"{who} is resumed" if was_paused else f"{who} was not paused: nothing to do"]
    lines += [
        f"{_whose(circuit.token_id)} is still paused until {utc(circuit.paused_until)} UTC"
        for circuit in still[:_LONGEST]
        if circuit.paused_until is not None
    ]
    return "\n".join(lines)


def _whose(token_id: str) -> str:
    return f"the account {token_id}" if token_id else "everything"


def _paused(circuit: CircuitSeen, now: datetime) -> str:
    assert circuit.paused_until is not None  # noqa: S101 - asked by the caller
    until = moment(circuit.paused_until, now)
    rows = None if circuit.is_open else circuit.waiting_rows
    return f"{_whose(circuit.token_id)}, until {until}, by {circuit.paused_by}{_waiting(rows)}"


def _open(circuit: CircuitSeen, now: datetime, *, has_reason: bool) -> str:
    since = span((now - circuit.opened_at).total_seconds()) if circuit.opened_at else "?"
    what = "the service's, open" if circuit.is_service else circuit.token_id
    reason = f": {circuit.reason}" if has_reason else ""
    return (
        f"{what} for {since}{reason}; {count(circuit.probes, 'probe')}, {_next(circuit, now)}"
        f"{_waiting(circuit.waiting_rows)}"
    )


def _next(circuit: CircuitSeen, now: datetime) -> str:
    if circuit.is_probing:
        return "one in flight"
    if circuit.probe_at is None or circuit.probe_at <= now:
        return "the next one due"
    return f"the next {distance(circuit.probe_at, now)}"


def _waiting(rows: int | None) -> str:
    if rows is None:
        return ""
    return f"; {count(rows, 'row')} wait{'s' if rows == 1 else ''} for it"
