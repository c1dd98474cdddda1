"""Documents: what the API answers, as JSON; columns by their names, times in ISO 8601 UTC."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any
from uuid import UUID

from stocksync.operations import LogEntry, Operation, Page
from stocksync.verdict import CircuitSeen, Standing, Verdict
from stocksync.web.accounts import NameOf
from stocksync.web.questions import Failures, History, OrderTold, Told

_STATUS = {Verdict.OK: "healthy", Verdict.DEGRADED: "warning", Verdict.STALLED: "critical"}
# Parked accounts may be many; the count is of all.
MOST_CIRCUITS = 100


def ready(standing: Standing) -> dict[str, Any]:
    """Whether it should be asked to work, and what is not as it should be."""
    return {
        "is_ready": standing.verdict is not Verdict.STALLED,
        "verdict": standing.verdict,
        "reasons": list(standing.reasons),
    }


def not_ready(reason: str) -> dict[str, Any]:
    """The same where there is no verdict."""
    return {"is_ready": False, "verdict": None, "reasons": [reason]}


def status(standing: Standing, name_of: NameOf) -> dict[str, Any]:
    """How the outbox stands."""
    return {
        "status": _STATUS[standing.verdict],
        "verdict": standing.verdict,
        "reasons": list(standing.reasons),
        "statistics": _statistics(standing),
        "circuits": _circuits(standing.circuits[:MOST_CIRCUITS], name_of),
        "circuits_total": len(standing.circuits),
        "daemons": [asdict(d) | {"name": d.name} for d in standing.daemons],
        "timers": [asdict(timer) for timer in standing.timers],
        "telegram": asdict(standing.telegram),
        "oldest_snapshot": standing.oldest_snapshot and asdict(standing.oldest_snapshot),
        "limits": asdict(standing.limits),
        "last_updated": standing.numbers.now,
    }


def _statistics(standing: Standing) -> dict[str, Any]:
    numbers = standing.numbers
    return {
        "pending_operations": numbers.pending,
        "processing_operations": numbers.processing,
        "failed_operations": numbers.failed,
        "completed_today": numbers.completed_today,
        "stale_operations": numbers.stale,
        "due_operations": numbers.due_rows,
        "due_orders": numbers.due_orders,
        "held_operations": numbers.waiting_rows,
        "held_orders": numbers.waiting_orders,
        "retrying_operations": numbers.retrying,
        "orders_to_push_again": numbers.orders_to_push_again,
        "ambiguous_orders": numbers.ambiguous_orders,
        "oldest_due_seconds": numbers.oldest_due_seconds,
        "next_due_at": numbers.next_due_at,
        "next_retry_at": numbers.next_retry_at,
        "backlog_seconds": numbers.backlog_seconds,
        "completed_per_second": numbers.completed_per_second,
        "last_completed_at": numbers.last_completed_at,
        "first_try_share": numbers.first_try_share,
        "mean_retry_seconds": numbers.mean_retry_seconds,
        "failure_rate": numbers.failure_rate,
        "retry_error": numbers.retry_error,
        "failed_error": numbers.failed_error,
    }


def page(page: Page, name_of: NameOf) -> dict[str, Any]:
    """Some operations, and how many match."""
    return {
        "operations": [_named(operation, name_of) for operation in page.operations],
        "total": page.total,
        "limit": page.limit,
        "offset": page.offset,
    }


def operation(told: Told, name_of: NameOf) -> dict[str, Any]:
    """An operation's columns, and its history."""
    history = [_columns(entry) for entry in told.history]
    return _named(told.operation, name_of) | {"history": history}


def orders(orders: Sequence[OrderTold], name_of: NameOf) -> dict[str, Any]:
    """An order's whole story, once for each account that knows it."""
    return {
        "orders": [
            asdict(told.order)
            | {
                "account_name": name_of(told.order.token_id),
                "circuits": _circuits(told.order.circuits, name_of),
                "operations": [operation(row, name_of) for row in told.rows],
                "operations_total": told.total,
            }
            for told in orders
        ]
    }


def failures(failures: Failures, name_of: NameOf) -> dict[str, Any]:
    """Why operations failed for good."""
    return {
        "errors": [
            group | {"account_name": name_of(group["token_id"])} for group in failures.groups
        ],
        "looked_at": failures.looked_at,
        "is_sample": failures.is_sample,
    }


def history(history: History) -> dict[str, Any]:
    """What was done lately."""
    return asdict(history)


def acted(message: str, operation_id: UUID) -> dict[str, Any]:
    """What was done to an operation."""
    return {"message": message, "operation_id": operation_id}


def _circuits(circuits: Sequence[CircuitSeen], name_of: NameOf) -> list[dict[str, Any]]:
    """No token: the service's."""
    return [
        asdict(circuit)
        | {"token_id": circuit.token_id or None, "account_name": name_of(circuit.token_id)}
        for circuit in circuits
    ]


def _named(operation: Operation, name_of: NameOf) -> dict[str, Any]:
    return _columns(operation) | {"account_name": name_of(operation.token_id)}


def _columns(row: Operation | LogEntry) -> dict[str, Any]:
    """The fields as they are; `asdict` would copy each, at ten times the cost."""
    return {field.name: getattr(row, field.name) for field in fields(row)}
