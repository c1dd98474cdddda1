"""Explaining: outages, parked accounts and pauses, and what needs no message because of them."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from stocksync.changes import Change, Kind, Phase
from stocksync.conditions.known import (
    PAUSE,
    SERVICE,
    Circuit,
    Condition,
    Key,
    Measured,
    Minute,
    Rules,
    Turned,
    failure_rate,
)

# Attempts fail before they open a circuit, and those in flight when it opens or closes after it.
LEAD = timedelta(minutes=2)
TRAIL = timedelta(minutes=1)
# Of a circuit that flaps: more than a day's window has of them, two minutes apart.
MOST_SPANS = 720
# That nothing was completed for less is no news in an outage.
NEWS_SECONDS = 60.0

Span = tuple[datetime, datetime]


class Explained:
    """What needs no message of its own, because of what explains it at this moment."""

    def __init__(self, explaining: Iterable[Condition], measured: Measured) -> None:
        self._conditions = tuple(explaining)
        self._behind = measured.behind
        self._spans = [span for c in self._conditions for span in _spans(c, measured.now)]
        of_everything = [c for c in self._conditions if c.token_id == SERVICE]
        self.is_all_held = any(c.lasts for c in of_everything)
        """Nothing is pushed, for a reason that is known."""
        self.is_all = any(c.lasts or self._behind.get(c.key) for c in of_everything)
        """Any row may wait because of it."""

    @property
    def rows_by_account(self) -> dict[str, int]:
        """Rows that wait, or did and are still on their way, by account."""
        rows: dict[str, int] = {}
        for condition in self._conditions:
            if behind := self._behind.get(condition.key):
                rows[condition.token_id] = max(behind, rows.get(condition.token_id, 0))
        rows.pop(SERVICE, None)
        return rows

    def has_account(self, token_id: str) -> bool:
        """Its rows may wait because of something that is told, or wished for."""
        conditions = [c for c in self._conditions if c.token_id == token_id]
        return self.is_all or any(c.lasts or self._behind.get(c.key) for c in conditions)

    def has_minute(self, minute: Minute) -> bool:
        """Attempts of this minute may have failed because of it."""
        end = minute.minute + timedelta(minutes=1)
        return any(begun < end and minute.minute < over for begun, over in self._spans)


def paused(
    before: Condition | None, token_id: str, circuit: Circuit | None, measured: Measured
) -> Condition | None:
    """The pause after this turn; None: there is none, and nothing is left of it."""
    now = measured.now
    if circuit and circuit.is_paused:
        if before and before.lasts:
            return before
        return Condition(kind=PAUSE, token_id=token_id, since=now, told_at=None)
    if before is None or not (before.lasts or measured.behind.get(before.key)):
        return None
    return replace(before, ended_at=before.ended_at or now)


def held(
    remembered: Mapping[Key, Condition],
    token_id: str,
    circuit: Circuit | None,
    *,
    measured: Measured,
    rules: Rules,
    outage: Condition | None,
) -> tuple[Condition | None, Change | None]:
    """The outage, or the parked account, after this turn; and what there is to tell of it.

    `outage`: the one of now, which may be the reason that an account is parked.
    """
    condition, change = _held(remembered, token_id, circuit, measured, rules)
    if condition is None or condition.kind == Kind.OUTAGE or change is None:
        return condition, change
    before = remembered.get(condition.key)
    is_told = before is not None and before.lasts and before.told_at is not None
    if not is_told and _is_part_of(condition, outage, measured.now):
        return replace(condition, told_at=None), None
    return condition, change


def _is_part_of(parked: Condition, outage: Condition | None, now: datetime) -> bool:
    """A service that lost its database knows no account: one may be parked before that is seen."""
    if outage is None or parked.since < outage.since - LEAD:
        return False
    # An account that is well again is found by a probe of its own.
    return now - (outage.ended_at or now) <= TRAIL


def _held(
    remembered: Mapping[Key, Condition],
    token_id: str,
    circuit: Circuit | None,
    measured: Measured,
    rules: Rules,
) -> tuple[Condition | None, Change | None]:
    kind = Kind.PARKED if token_id else Kind.OUTAGE
    before = remembered.get((kind, token_id))
    turned = [each for each in measured.turned if each.token_id == token_id]
    opened = [each for each in turned if each.is_open]
    now = measured.now
    if before is None or not before.lasts:
        if circuit and circuit.is_open:
            since = opened[0].at if opened else circuit.opened_at or now
            new = _opened(_new(kind, token_id, since, before), [since, *(o.at for o in opened[1:])])
            return _began(new, circuit, measured, rules)
        if opened:
            # It opened and closed between two turns: its end says all.
            new = _opened(_new(kind, token_id, opened[0].at, before), [o.at for o in opened])
            new = replace(new, details=new.details | {"reason": opened[-1].reason})
            return _ended(new, turned, measured, rules)
        return (before if before and _is_kept(before, measured, rules) else None), None
    # Closed and opened again between two turns, it was never over.
    before = _opened(before, [o.at for o in opened])
    if circuit and circuit.is_open:
        if before.told_at is None:
            return _began(before, circuit, measured, rules)
        return _lasts(before, circuit, measured, rules)
    condition, change = _ended(before, turned, measured, rules)
    return condition, change if before.told_at is not None else None


def _new(kind: Kind, token_id: str, since: datetime, before: Condition | None) -> Condition:
    spans = before.details.get("spans", []) if before else []
    return Condition(
        kind=kind, token_id=token_id, since=since, told_at=None, details={"spans": spans}
    )


def _opened(condition: Condition, times: list[datetime]) -> Condition:
    # While an account is parked, the attempts are those of the others.
    if condition.kind == Kind.OUTAGE:
        return condition
    return _with_spans(condition, [(at - LEAD, at + TRAIL) for at in times])


def _began(
    new: Condition, circuit: Circuit, measured: Measured, rules: Rules
) -> tuple[Condition, Change]:
    condition = replace(_seen(new, circuit, measured, rules), told_at=measured.now)
    return condition, _change(condition, Phase.BEGAN, new.since, _facts(condition))


def _lasts(
    before: Condition, circuit: Circuit, measured: Measured, rules: Rules
) -> tuple[Condition, Change | None]:
    condition = _seen(before, circuit, measured, rules)
    now = measured.now
    if not rules.is_to_repeat(before, now):
        return condition, None
    facts = _facts(condition) | {
        "seconds": (now - condition.since).total_seconds(),
        "probes": circuit.probes,
        "hours": rules.stale_hours,
        "lines": _lines(condition, measured, rules),
    }
    return replace(condition, told_at=now), _change(condition, Phase.LASTS, now, facts)


def _ended(
    before: Condition, turned: list[Turned], measured: Measured, rules: Rules
) -> tuple[Condition | None, Change]:
    closed = [each.at for each in turned if not each.is_open]
    ended_at = closed[-1] if closed else measured.now
    condition = replace(before, ended_at=ended_at)
    if condition.kind == Kind.OUTAGE:
        condition = _with_spans(condition, [(before.since - LEAD, ended_at + TRAIL)])
    # By now part of what waited may be gone already: the last look before the end counts as well.
    waiting_rows = max(measured.behind.get(before.key, 0), before.details.get("waiting_rows", 0))
    facts = {
        "seconds": (ended_at - before.since).total_seconds(),
        "waiting_rows": waiting_rows,
        "reason": before.details.get("reason"),
    }
    change = _change(condition, Phase.ENDED, ended_at, facts)
    return (condition if _is_kept(condition, measured, rules) else None), change


def _is_kept(ended: Condition, measured: Measured, rules: Rules) -> bool:
    # As long as it explains anything: rows that it left behind, or attempts within the window.
    horizon = measured.now - rules.window
    spans = _spans(ended, measured.now)
    return bool(measured.behind.get(ended.key)) or any(over > horizon for _, over in spans)


def _seen(condition: Condition, circuit: Circuit, measured: Measured, rules: Rules) -> Condition:
    horizon = measured.now - rules.window
    spans = [each for each in condition.details.get("spans", []) if _time(each[1]) > horizon]
    seen = {"reason": circuit.reason, "waiting_rows": measured.behind.get(condition.key, 0)}
    return replace(condition, details={**seen, "spans": spans[-MOST_SPANS:]})


def _facts(condition: Condition) -> dict[str, Any]:
    return {name: condition.details[name] for name in ("reason", "waiting_rows")}


def _lines(condition: Condition, measured: Measured, rules: Rules) -> dict[str, Any]:
    """What follows from it, by kind."""
    rows, stale = condition.details["waiting_rows"], measured.stale.get(condition.token_id, 0)
    lines: dict[str, Any] = {}
    if condition.kind == Kind.OUTAGE:
        rows, stale = measured.pending, sum(measured.stale.values())
        rate = failure_rate(measured.minutes)
        if rate is not None and rate > rules.failure_rate_threshold:
            lines["failure_rate"] = rate
        if condition.details["waiting_rows"] and (measured.settled_seconds or 0) > NEWS_SECONDS:
            lines["stalled"] = measured.settled_seconds
    lines |= {"backlog": rows} if rows > rules.max_pending else {}
    return lines | ({"stale": stale} if stale else {})


def _change(condition: Condition, phase: Phase, at: datetime, facts: dict[str, Any]) -> Change:
    return Change(
        at=at, kind=Kind(condition.kind), phase=phase, token_id=condition.token_id, facts=facts
    )


# --- when attempts failed because of it ----------------------------------------------------------


def _with_spans(condition: Condition, spans: list[Span]) -> Condition:
    written = [[begun.isoformat(), over.isoformat()] for begun, over in spans]
    return replace(
        condition,
        details=condition.details | {"spans": [*condition.details.get("spans", []), *written]},
    )


def _spans(condition: Condition, now: datetime) -> list[Span]:
    spans = [(_time(begun), _time(over)) for begun, over in condition.details.get("spans", [])]
    if condition.kind == Kind.OUTAGE and condition.lasts:
        spans.append((condition.since - LEAD, now + TRAIL))
    return spans


def _time(written: str) -> datetime:
    return datetime.fromisoformat(written)
