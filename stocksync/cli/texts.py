"""Texts: what the verbs show to people."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from stocksync.cli.documents import ServiceFlag
from stocksync.cli.layout import count, distance, moment, one_line, pairs, precise, table, utc
from stocksync.model import Status
from stocksync.operations import LogEntry, Operation, Order, Page, Story, Wait


def page(page: Page) -> str:
    """A table of operations, and where in all of them it stands."""
    if not page.operations:
        return f"none of the {page.total} is this far down" if page.total else "none"
    last = page.offset + len(page.operations)
    return f"{_operations(page.operations, page)}\n{page.offset + 1}–{last} of {page.total}"


def story(story: Story) -> str:
    """An operation and all that happened to it."""
    operation = story.operation
    about = pairs(
        [
            ("order", operation.order_id),
            ("account", operation.token_id),
            ("Allegro order", operation.allegro_order_id),
            ("what", f"{_what(operation)}, {operation.warehouse}"),
            ("status", _status(operation, story)),
            ("error", operation.error_message),
            ("retries", f"{operation.retry_count} ({_limit(operation)})"),
            ("attempts", str(operation.attempts)),
        ]
    )
    rows = [_told(entry) for entry in story.history]
    width = max(len(action) for _, action, _ in rows)
    lines = [f"  {at} UTC  {action.ljust(width)}  {what}".rstrip() for at, action, what in rows]
    return f"operation {operation.id}\n{about}\n\n" + "\n".join(lines)


def orders(orders: Sequence[Order], flags: Sequence[ServiceFlag]) -> str:
    """How an order stands, for each account that knows it."""
    return "\n\n".join(_order(order, flag) for order, flag in zip(orders, flags, strict=True))


def retried(ids: Sequence[UUID]) -> str:
    """What a retry did."""
    return f"{count(len(ids), 'operation')} due now"


def cancelled(ids: Sequence[UUID]) -> str:
    """What a cancel did."""
    return f"{count(len(ids), 'operation')} cancelled; what they change is pushed"


def migration(document: dict[str, Any]) -> str:
    """What a migration did, or would do."""
    done = "would apply" if document["is_dry_run"] else "applied"
    lines = [f"{done} {name}" for name in document["migrations"]] or ["nothing to do"]
    return "\n".join(
        lines + [f"{key['name']}: {key['result']}" for key in document["foreign_keys"]]
    )


def _operations(operations: Sequence[Operation], at: Page | Order) -> str:
    head = ("ID", "STATUS", "ORDER", "WHAT", "RETRIES", "CREATED (UTC)", "NOW")
    return table(
        head,
        [
            (
                str(operation.id),
                operation.status,
                operation.order_id,
                _what(operation),
                str(operation.retry_count),
                utc(operation.created_at),
                _short_now(operation, at),
            )
            for operation in operations
        ],
    )


def _what(operation: Operation) -> str:
    return f"{operation.operation_type} of {operation.quantity} × {operation.sku}"


def _limit(operation: Operation) -> str:
    limit = operation.max_retries
    if limit is None:
        return "as many as the daemon's settings allow"
    return "no limit" if limit < 0 else f"at most {limit}"


def _status(operation: Operation, at: Story) -> str:
    match operation.status:
        case Status.PENDING:
            when = "due since" if operation.next_retry_at <= at.now else "due at"
            return f"pending, {when} {moment(operation.next_retry_at, at.now)}"
        case Status.PROCESSING:
            return f"processing, {_lease(operation, at)}"
        case _:
            ended_at = operation.completed_at or operation.updated_at
            return f"{operation.status} at {moment(ended_at, at.now)}"


def _short_now(operation: Operation, at: Page | Order) -> str:
    match operation.status:
        case Status.PENDING if operation.next_retry_at <= at.now:
            return "due"
        case Status.PENDING:
            return f"due {distance(operation.next_retry_at, at.now)}"
        case Status.PROCESSING:
            return "in flight"
        case Status.FAILED:
            return operation.error_message or "failed"
        case _:
            return distance(operation.completed_at or operation.updated_at, at.now)


def _lease(held: Operation | Order, at: Story | Order) -> str:
    if held.lease_until is None:
        return "without a lease"
    if held.lease_until <= at.now:
        return f"its lease ran out {distance(held.lease_until, at.now)}: any daemon takes over"
    return f"its lease ends at {moment(held.lease_until, at.now)}"


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


def _order(order: Order, flag: ServiceFlag) -> str:
    carried = f", {order.carried_balance} of it carried from rows removed since"
    about = pairs(
        [
            ("account", order.token_id),
            ("balance", f"{order.balance}{carried if order.carried_balance else ''}"),
            ("wanted flag", _flag(order.wanted_flag)),
            ("flag at service", flag.why_not or _compared(order, flag)),
            ("ambiguous", moment(order.ambiguous_at, order.now) if order.ambiguous_at else None),
            ("waits for", _waits(order)),
        ]
    )
    rows = _operations(order.operations, order) if order.operations else "no rows"
    return f"order {one_line(order.order_id)}\n{about}\n\n{rows}"


def _compared(order: Order, flag: ServiceFlag) -> str:
    is_same = flag.flag is order.wanted_flag
    return f"{_flag(flag.flag)}{'' if is_same else ' (not what is wanted)'}"


def _flag(flag: bool | None) -> str:  # noqa: FBT001 - the flag is the subject
    return str(flag).lower()


def _waits(order: Order) -> str:
    failed = sum(operation.status is Status.FAILED for operation in order.operations)
    hand = f"; {count(failed, 'failed row')}: `stocksync retry`" if failed else ""
    until = order.waits_until
    if until is None:
        return f"nothing{hand}"
    when = moment(until, order.now)
    words = {
        Wait.IN_FLIGHT: f"the push in flight; {_lease(order, order)}",
        Wait.DUE: f"a daemon to claim it: due since {when}",
        Wait.RETRY: f"its next row, due at {when}",
        Wait.PUSH_AGAIN: f"being pushed again at {when}",
        Wait.VERIFY: f"its flag to be read again, not before {when}: an old call may still arrive",
    }
    return f"{words[order.waits_for]}{hand}"
