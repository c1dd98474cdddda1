"""Texts: what the verbs show to people."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from stocksync.cli.colour import red
from stocksync.cli.layout import (
    count,
    distance,
    hanging,
    moment,
    one_line,
    pairs,
    precise,
)
from stocksync.cli.tables import table
from stocksync.cli.texts_of_circuits import holding
from stocksync.model import OperationType, Status
from stocksync.operations import LogEntry, Operation, Page, Story

_OF_A_PAGE = ("ID", "STATUS", "ORDER", "WHAT", "RETRIES", "CREATED", "WHEN")


def page(page: Page, *, max_retries: int) -> str:
    """A table of operations, where in all of them it stands, and what holds them up.

    `max_retries` is the setting, for operations without a limit of their own.
    """
    if not page.operations:
        return f"none of the {page.total} is this far down" if page.total else "none"
    last = page.offset + len(page.operations)
    shown = operations(
        page.operations,
        page.now,
        head=_OF_A_PAGE,
        drop=("CREATED", "WHAT", "RETRIES"),
        max_retries=max_retries,
    )
    text = f"{shown}\n{page.offset + 1}–{last} of {page.total}"
    held_up = holding(page.circuits, page.now)
    return f"{text}\n\n{pairs(held_up)}" if held_up else text


def operations(
    operations: Sequence[Operation],
    now: datetime,
    *,
    head: Sequence[str],
    drop: Sequence[str],
    max_retries: int,
) -> str:
    """A table of operations; below each that has one, its last error."""
    rows = [_cells(operation, now, max_retries) for operation in operations]
    return table(
        head,
        [[row[name] for name in head] for row in rows],
        remarks=[operation.error_message for operation in operations],
        cut=("ORDER", "WHAT"),
        drop=drop,
        paint={"STATUS": _coloured},
    )


def story(story: Story, *, max_retries: int) -> str:
    """An operation and all that happened to it."""
    operation = story.operation
    held_up = holding(story.circuits, story.now) if operation.status is Status.PENDING else []
    about = pairs(
        [
            ("order", operation.order_id),
            ("account", operation.token_id),
            ("Allegro order", operation.allegro_order_id),
            ("what", f"{_what(operation)}, {operation.warehouse}"),
            ("status", _status(operation, story.now)),
            ("error", operation.error_message),
            ("retries", f"{_retries(operation, max_retries)}{_whose_limit(operation)}"),
            ("attempts", str(operation.attempts)),
            *held_up,
        ]
    )
    rows = [_told(entry) for entry in story.history]
    width = max(len(action) for _, action, _ in rows)
    lines = [hanging(f"  {at} UTC  {action.ljust(width)}  ", what) for at, action, what in rows]
    return f"operation {operation.id}\n{about}\n\n" + "\n".join(lines)


def retried(ids: Sequence[UUID]) -> str:
    """What a retry did."""
    return f"{count(len(ids), 'operation')} due now"


def cancelled(ids: Sequence[UUID]) -> str:
    """What a cancel did."""
    whose = "its order is" if len(ids) == 1 else "their orders are"
    return f"{count(len(ids), 'operation')} cancelled; {whose} pushed again with the new sum"


def migration(document: dict[str, Any]) -> str:
    """What a migration did, or would do."""
    done = "would apply" if document["is_dry_run"] else "applied"
    lines = [f"{done} {name}" for name in document["migrations"]] or ["nothing to do"]
    return "\n".join(
        lines + [f"{key['name']}: {key['result']}" for key in document["foreign_keys"]]
    )


def lease(lease_until: datetime | None, now: datetime) -> str:
    """How long what is in flight is held."""
    if lease_until is None:
        return "without a lease"
    if lease_until <= now:
        return f"its lease ran out {distance(lease_until, now)}: any daemon takes over"
    return f"its lease ends at {moment(lease_until, now)}"


def _coloured(status: str) -> str:
    return red(status) if status == Status.FAILED else status


def _cells(operation: Operation, now: datetime, max_retries: int) -> dict[str, str]:
    return {
        "ID": str(operation.id),
        "STATUS": operation.status,
        "ORDER": operation.order_id,
        "WHAT": _short(operation),
        "RETRIES": _retries(operation, max_retries),
        "CREATED": distance(operation.created_at, now),
        "WHEN": _when(operation, now),
    }


def _what(operation: Operation) -> str:
    return f"{operation.operation_type} of {operation.quantity} × {operation.sku}"


def _short(operation: Operation) -> str:
    """Nearly all are deductions: what they are of is worth more room than the word."""
    is_usual = operation.operation_type is OperationType.DEDUCTION
    kind = "" if is_usual else f"{operation.operation_type} "
    return f"{kind}{operation.quantity} × {operation.sku}"


def _retries(operation: Operation, max_retries: int) -> str:
    limit = max_retries if operation.max_retries is None else operation.max_retries
    return str(operation.retry_count) if limit < 0 else f"{operation.retry_count} of {limit}"


def _whose_limit(operation: Operation) -> str:
    if operation.max_retries is None:
        return ", by this shell's settings"
    return ", without a limit" if operation.max_retries < 0 else ", its own limit"


def _status(operation: Operation, now: datetime) -> str:
    match operation.status:
        case Status.PENDING:
            when = "due since" if operation.next_retry_at <= now else "due at"
            return f"pending, {when} {moment(operation.next_retry_at, now)}"
        case Status.PROCESSING:
            return f"processing, {lease(operation.lease_until, now)}"
        case _:
            ended_at = operation.completed_at or operation.updated_at
            return f"{operation.status} at {moment(ended_at, now)}"


def _when(operation: Operation, now: datetime) -> str:
    match operation.status:
        case Status.PENDING if operation.next_retry_at <= now:
            return "due"
        case Status.PENDING:
            return distance(operation.next_retry_at, now)
        case Status.PROCESSING:
            return "in flight"
        case _:
            return distance(operation.completed_at or operation.updated_at, now)


def _told(entry: LogEntry) -> tuple[str, str, str]:
    """An entry of the log: when, what, and the rest in words."""
    details = dict(entry.details)
    error = details.pop("error", None) or details.pop("reason", None)
    status, by = details.pop("http_status", None), details.pop("by", None)
    words = [f"HTTP {status}"] if status is not None else []
    words += [f"{entry.execution_time_ms} ms"] if entry.execution_time_ms is not None else []
    words += [
        f"{name} {str(value).lower()}" for name, value in details.items() if value is not None
    ]
    words += [f"by {by}"] if by else []
    said = ", ".join(words) + (f": {error}" if error and words else error or "")
    return precise(entry.timestamp), entry.action, one_line(said)
