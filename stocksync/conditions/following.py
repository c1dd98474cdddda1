"""Following: numbers above their limits, told by themselves where nothing else explains them."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from stocksync.changes import EXAMPLES, Change, Kind, Phase
from stocksync.conditions.explaining import Explained
from stocksync.conditions.known import Condition, Measured, Rules, failure_rate

# It takes a while until an outage is seen: calls must fail first, or time out, which takes half a
# lease at most. So long nobody knows whether the rows that pile up are its.
YOUNG_SECONDS = 4.0
LONGEST_DOUBT_SECONDS = 60.0
# A number that hovers about its limit is one condition, not many.
BACKLOG_ENDS_AT = 0.8
FAILURE_RATE_ENDS_AT = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A number at this moment, without what something else explains."""

    value: float
    begins_above: float
    ends_at: float
    """Or below."""
    is_explained: bool
    """All of it: as long as that is so, nothing is said of it, also not of its end."""
    facts: dict[str, Any]
    ended_facts: dict[str, Any]
    is_in_doubt: bool = False
    """Soon something else may explain it: it does not begin yet."""


def readings(explained: Explained, measured: Measured, rules: Rules) -> dict[Kind, Reading]:
    """All that is read, by kind."""
    return {
        Kind.STALLED: _stalled(explained, measured),
        Kind.BACKLOG: _backlog(explained, measured, rules),
        Kind.STALE: _stale(explained, measured, rules),
        Kind.FAILURE_RATE: _failure_rate(explained, measured, rules),
    }


def follow(
    kind: Kind, before: Condition | None, reading: Reading, *, now: datetime, rules: Rules
) -> tuple[Condition | None, Change | None]:
    """The condition after this turn, and what there is to tell of it."""
    if reading.is_explained:
        return before, None
    if before is None:
        if reading.value <= reading.begins_above or reading.is_in_doubt:
            return None, None
        began = Change(at=now, kind=kind, phase=Phase.BEGAN, facts=reading.facts)
        return Condition(kind=kind, since=now, told_at=now), began
    seconds = {"seconds": (now - before.since).total_seconds()}
    if reading.value <= reading.ends_at:
        facts = seconds | reading.ended_facts
        return None, Change(at=now, kind=kind, phase=Phase.ENDED, facts=facts)
    if not rules.is_to_repeat(before, now):
        return before, None
    lasts = Change(at=now, kind=kind, phase=Phase.LASTS, facts=reading.facts | seconds)
    return replace(before, told_at=now), lasts


def _stalled(explained: Explained, measured: Measured) -> Reading:
    due = {"due_rows": measured.due_rows}
    return Reading(
        value=1 if measured.stalled else 0,
        begins_above=0,
        ends_at=0,
        # An end is seen by a proof. What stands still after it does so for another reason, and
        # would for ever: its backlog is never gone.
        is_explained=explained.is_all_held,
        facts={
            "reasons": list(measured.stalled),
            **due,
            "oldest_due_seconds": measured.oldest_due_seconds,
            "quiet_seconds": measured.settled_seconds,
        },
        ended_facts=due,
    )


def _backlog(explained: Explained, measured: Measured, rules: Rules) -> Reading:
    pending = max(0, measured.pending - sum(explained.rows_by_account.values()))
    numbers = {"pending": pending, "limit": rules.max_pending}
    return Reading(
        value=pending,
        begins_above=rules.max_pending,
        ends_at=BACKLOG_ENDS_AT * rules.max_pending,
        is_explained=explained.is_all,
        is_in_doubt=_is_in_doubt(measured, rules),
        facts={
            **numbers,
            "oldest_due_seconds": measured.oldest_due_seconds,
            "backlog_seconds": measured.backlog_seconds,
        },
        ended_facts=numbers,
    )


def _is_in_doubt(measured: Measured, rules: Rules) -> bool:
    due_seconds = measured.oldest_due_seconds
    if due_seconds is None:
        return False
    proven_seconds = due_seconds if measured.proven_seconds is None else measured.proven_seconds
    unproven_seconds = min(due_seconds, proven_seconds)
    longest = max(LONGEST_DOUBT_SECONDS, rules.lease_seconds)
    is_silent = measured.in_flight > 0 and YOUNG_SECONDS <= unproven_seconds <= longest
    return due_seconds < YOUNG_SECONDS or is_silent


def _stale(explained: Explained, measured: Measured, rules: Rules) -> Reading:
    own = {t: rows for t, rows in measured.stale.items() if not explained.has_account(t)}
    examples = [each for each in measured.stale_examples if each["token_id"] in own]
    count = sum(own.values())
    return Reading(
        value=count,
        begins_above=0,
        ends_at=0,
        is_explained=explained.is_all,
        facts={"count": count, "hours": rules.stale_hours, "examples": examples[:EXAMPLES]},
        ended_facts={},
    )


def _failure_rate(explained: Explained, measured: Measured, rules: Rules) -> Reading:
    minutes = [minute for minute in measured.minutes if not explained.has_minute(minute)]
    attempts = sum(minute.attempts for minute in minutes)
    rate = failure_rate(minutes) or 0.0
    numbers = {
        "rate": rate,
        "threshold": rules.failure_rate_threshold,
        "attempts": attempts,
    }
    return Reading(
        value=rate,
        begins_above=rules.failure_rate_threshold,
        ends_at=FAILURE_RATE_ENDS_AT * rules.failure_rate_threshold,
        is_explained=explained.is_all_held,
        facts={
            **numbers,
            "unproven": sum(minute.unproven for minute in minutes),
            "window_minutes": rules.failure_rate_window_minutes,
            "error": measured.error,
        },
        ended_facts=numbers,
    )
