"""Happenings: what has no duration, from the events of a turn, one change of each kind. Pure."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, zip_longest
from typing import Any
from uuid import UUID

from stocksync.changes import EXAMPLES, Change, Kind, Phase
from stocksync.model import Status

# What one button or command can take.
MOST_OPERATION_IDS = 1000
MOST_ERRORS = 5
# The microservice's answer that no retry changes, as errors begin with it.
REFUSED = re.compile(r"422\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened; a row of stock_sync_events."""

    at: datetime
    kind: str
    token_id: str
    order_id: str | None
    operation_id: UUID | None
    details: dict[str, Any]
    status: str | None
    """The operation's by now; None: it has none, or is gone."""


def happenings(
    events: Sequence[Event],
    *,
    now: datetime,
    failed_now: int,
    alert_on_failed: bool,
    auto_fix_hours: int,
) -> list[Change]:
    """What is to be told of them. `failed_now`: rows that are failed, whenever they failed.

    `auto_fix_hours`: discrepancies of orders that were settled before are left.
    """
    by_kind = {
        Kind.FAILED: _failed(events, failed_now) if alert_on_failed else {},
        Kind.NEGATIVE: _negative(events),
        Kind.DISCREPANCIES: discrepancies(events),
    }
    if found := by_kind[Kind.DISCREPANCIES]:
        found["hours"] = auto_fix_hours
    return [
        Change(at=now, kind=kind, phase=Phase.HAPPENED, facts=facts)
        for kind, facts in by_kind.items()
        if facts
    ]


def _failed(events: Sequence[Event], failed_now: int) -> dict[str, Any]:
    # Retried, cancelled or completed since: nobody has to do anything about it any more. One that
    # failed twice is one.
    failed = {
        each.operation_id: each
        for each in events
        if each.kind == "failed" and each.status == Status.FAILED
    }
    if not failed:
        return {}
    accounts = Counter(each.token_id for each in failed.values())
    errors = Counter(_error(each) for each in failed.values())
    orders = Counter(error for error, _, _ in {_met(each) for each in failed.values()})
    return {
        "count": len(failed),
        "refused": sum(count for error, count in errors.items() if REFUSED.match(error)),
        "failed_now": failed_now,
        "accounts": [{"token_id": t, "count": count} for t, count in accounts.most_common()],
        "errors": [
            {"error": error, "count": count, "orders": orders[error]}
            for error, count in errors.most_common(MOST_ERRORS)
        ],
        "examples": [
            {
                "operation_id": str(each.operation_id),
                "token_id": each.token_id,
                "order_id": each.order_id,
                "error": each.details.get("error"),
            }
            for each in _examples(failed.values())
        ],
        "operation_ids": [str(each) for each in list(failed)[:MOST_OPERATION_IDS]],
    }


def _examples(failed: Iterable[Event]) -> list[Event]:
    """Of each account and error in turn, and each order once."""
    by_error: dict[tuple[str, str], dict[str | None, Event]] = {}
    for each in failed:
        orders = by_error.setdefault((each.token_id, _error(each)), {})
        orders.setdefault(each.order_id, each)
    turns = zip_longest(*(orders.values() for orders in by_error.values()))
    return [each for each in chain.from_iterable(turns) if each is not None][:EXAMPLES]


def _error(event: Event) -> str:
    return str(event.details.get("error") or "")


def _met(event: Event) -> tuple[str, str, str | None]:
    return _error(event), event.token_id, event.order_id


def _negative(events: Sequence[Event]) -> dict[str, Any]:
    # The balance as it was pushed last.
    balances = {
        (each.token_id, each.order_id): each.details.get("balance")
        for each in events
        if each.kind == "negative"
    }
    if not balances:
        return {}
    examples = [
        {"token_id": token_id, "order_id": order_id, "balance": balance}
        for (token_id, order_id), balance in balances.items()
    ]
    return {"count": len(balances), "examples": examples[:EXAMPLES]}


def discrepancies(events: Sequence[Event]) -> dict[str, Any]:
    """The facts of the discrepancies among them; {}: there are none."""
    found = [each for each in events if each.kind == "discrepancy"]
    if not found:
        return {}
    acts = Counter(each.details.get("act") for each in found)
    names = ("wanted", "found", "settled_at", "act")
    # What waits for a person is worth an example first.
    found.sort(key=lambda each: each.details.get("act") == "repaired")
    return {
        "found": len(found),
        **{act: acts[act] for act in ("repaired", "left", "given_up")},
        "examples": [
            {"token_id": each.token_id, "order_id": each.order_id}
            | {name: each.details.get(name) for name in names}
            for each in found[:EXAMPLES]
        ],
    }
