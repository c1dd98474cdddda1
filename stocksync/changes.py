"""Changes of state that on-call hears of: what can change, and the facts that each change carries.

A change is made by the monitor, kept in the database until every chat has it, and worded last.
Its facts are plain JSON values. Times are ISO 8601 in UTC; `examples` are five at most, `count` is
of all; None where it is said.

Conditions that last; what `began` has, `lasts` has too:
OUTAGE        began: reason, waiting_rows; lasts: seconds, probes, lines, hours (of stale rows);
              ended: seconds, waiting_rows, reason
PARKED        the same, with a token_id
STALLED       began: reasons (a list), due_rows, oldest_due_seconds (None), quiet_seconds (since a
              row was completed; None: never); lasts: seconds; ended: seconds, due_rows
BACKLOG       began: pending, limit, oldest_due_seconds, backlog_seconds (None: nothing moves);
              lasts: seconds; ended: seconds, pending, limit
STALE         began: count, hours, examples (operation_id, token_id, order_id, created_at, error or
              None); lasts: seconds; ended: seconds
FAILURE_RATE  began: rate, threshold, attempts, unproven, window_minutes, error (None);
              lasts: seconds; ended: seconds, rate, threshold, attempts
`lines` is what follows from an outage, by kind, where it does: backlog (rows), stale (rows),
failure_rate (a share), stalled (seconds since something was settled).

What happens:
FAILED        count, refused (the others used up their retries), failed_now, accounts (token_id,
              count), errors (five: error, count, orders), examples (operation_id, token_id,
              order_id, error; of each account and error first), operation_ids (1,000 at most)
NEGATIVE      count, examples (token_id, order_id, balance)
DISCREPANCIES found, repaired, left (beyond the threshold), hours (the threshold), given_up
              (flipped back again and again), examples (token_id, order_id, wanted, found,
              settled_at, act: one of these three)
DAILY_REPORT  day, orders_pushed, rows_completed, first_try_share (None), row_retries,
              mean_retry_seconds (None), rows_failed, failed_now, discrepancies_found,
              discrepancies_repaired, slowest_account (None, or token_id, mean_seconds, rows),
              hours (24: hour, rows_completed, due_rows)
NOTICE        text, by (`stocksync notify`); or unit, host, by: systemd gave the unit up

What people did with the buttons under its message, any kind: acts (act: retry, mute or probe, by,
at; retry: rows; mute: until; probe: token_id).
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What changed."""

    OUTAGE = "outage"
    PARKED = "parked"
    STALLED = "stalled"
    BACKLOG = "backlog"
    STALE = "stale"
    FAILURE_RATE = "failure_rate"
    FAILED = "failed"
    NEGATIVE = "negative"
    DISCREPANCIES = "discrepancies"
    DAILY_REPORT = "daily_report"
    NOTICE = "notice"


class Phase(StrEnum):
    """How it changed."""

    BEGAN = "began"
    LASTS = "lasts"
    ENDED = "ended"
    HAPPENED = "happened"
    """It has no duration."""


CRITICAL = frozenset({Kind.OUTAGE, Kind.STALLED, Kind.NOTICE})
"""Told in the critical chat: somebody is to be woken."""

EXAMPLES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of state."""

    id: int | None = None
    """Its number in the database; None: not stored yet."""
    at: datetime
    kind: Kind
    phase: Phase
    token_id: str = ""
    """The account's; '': of all."""
    facts: dict[str, Any]

    @property
    def is_critical(self) -> bool:
        """For the critical chat."""
        return self.kind in CRITICAL
