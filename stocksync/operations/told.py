"""Told: what there is to say of operations and orders, and how it is read from rows."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from stocksync.database import Record
from stocksync.model import OperationType, Status
from stocksync.verdict import CircuitSeen


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A row of the outbox; its fields are the columns."""

    id: UUID
    token_id: str
    order_id: str
    allegro_order_id: str | None
    operation_type: OperationType
    sku: str
    quantity: int
    warehouse: str
    status: Status
    retry_count: int
    max_retries: int | None
    next_retry_at: datetime
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    error_message: str | None
    attempts: int
    attempted_at: datetime | None
    lease_until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """Something that happened to an operation; its fields are the log's columns."""

    id: int | None
    """None: derived from the operation itself."""
    operation_id: UUID
    action: str
    status: Status
    """The operation's, after it."""
    details: dict[str, Any]
    timestamp: datetime
    execution_time_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A part of the operations that match; `total` counts all of them."""

    operations: tuple[Operation, ...]
    total: int
    limit: int
    offset: int
    circuits: tuple[CircuitSeen, ...]
    """All that are open or paused now."""
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """An operation, and what happened to it, in order."""

    operation: Operation
    history: tuple[LogEntry, ...]
    circuits: tuple[CircuitSeen, ...]
    """Those that hold up its account: the service's and its own, if open or paused."""
    now: datetime


class Wait(StrEnum):
    """What an order waits for."""

    IN_FLIGHT = "in_flight"
    """It is claimed; `until`: its lease ends."""
    DUE = "due"
    """A daemon may claim it now; `until`: since when."""
    RETRY = "retry"
    """A pending row is due then."""
    PUSH_AGAIN = "push_again"
    """The order is pushed for its own sake then."""
    PAUSE = "pause"
    """It is due, or will be, but all or its account is paused; `until`: the pause ends."""
    SERVICE = "service"
    """It is due, and the service's circuit is open; `until`: the next probe."""
    ACCOUNT = "account"
    """It is due, and its account is parked; `until`: the next probe."""
    PERSON = "person"
    """Its rows failed for good, and nothing else of it is left to do."""
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A push of an order, as the log has it."""

    at: datetime
    """When it was settled."""
    by: str | None
    """Whose hand it was; after an expired lease: who found it."""
    action: str
    """What the log called it."""
    is_proven: bool
    http_status: int | None
    error: str | None
    cause: str | None
    """Whose fault a failure is (`model.Cause`)."""
    duration_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """The last time that reconciling found the order's flag at the service wrong."""

    at: datetime
    by: str | None
    act: str
    """repaired, left (settled too long ago) or given_up (repaired, and wrong again and again)."""
    wanted: bool | None
    found: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order of one account: its rows, oldest first, and what they come to."""

    token_id: str
    order_id: str
    balance: int
    carried_balance: int
    """The part of the balance whose rows cleanup has removed."""
    wanted_flag: bool
    push_due_at: datetime | None
    attempt: int
    """Pushes for its own sake in a row without success."""
    ambiguous_at: datetime | None
    """A call that ended then may still be applied by the service, after a newer one."""
    is_order_claimed: bool
    lease_until: datetime | None
    """Of the order or of its rows; None: not in flight."""
    waits_for: Wait
    waits_until: datetime | None
    has_daemon: bool
    """False: whatever it waits for, nobody would push it."""
    last_attempt: Attempt | None
    repairs: int
    """By reconciling, within a day of each other, each wrong again later."""
    reconciled: Reconciled | None
    """None: reconciling never found it wrong, as far as the log goes back."""
    circuits: tuple[CircuitSeen, ...]
    """Those that hold it up: the service's and its account's, if open or paused."""
    operations: tuple[Operation, ...]
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Minute:
    """What all daemons pushed in a minute, as far as they have told it."""

    minute: datetime
    attempts: int
    rows_completed: int
    mean_push_ms: float | None
    """None, like the next: nothing was pushed."""
    slowest_push_ms: int | None


_COLUMNS = tuple(field.name for field in fields(Operation))
_PROVEN = ("completed", "pushed_again")


def operation_of(row: Record) -> Operation:
    """The operation of a row."""
    columns = {name: row[name] for name in _COLUMNS}
    columns["operation_type"] = OperationType(row["operation_type"])
    columns["status"] = Status(row["status"])
    return Operation(**columns)


def log_entry_of(row: Record) -> LogEntry:
    """The entry of a row of the log."""
    columns = dict(row)
    # The driver gives jsonb as its text.
    columns["details"] = json.loads(row["details"])
    columns["status"] = Status(row["status"])
    return LogEntry(**columns)


def circuits_of(circuits: Iterable[CircuitSeen], token_id: str) -> tuple[CircuitSeen, ...]:
    """Those that hold up this account."""
    return tuple(c for c in circuits if c.is_service or c.token_id == token_id)


def order_of(
    row: Record,
    order_id: str,
    operations: Iterable[Operation],
    circuits: Iterable[CircuitSeen],
    daemons: Iterable[Record],
) -> Order:
    """The order of a row; its account's are picked out of operations and circuits."""
    holding = circuits_of(circuits, row["token_id"])
    waits_for, waits_until = _wait(row, holding)
    return Order(
        token_id=row["token_id"],
        order_id=order_id,
        balance=row["balance"],
        carried_balance=row["carried_balance"],
        # One definition: the flag is the sign of stock_sync_order's balance.
        wanted_flag=row["balance"] > 0,
        push_due_at=row["push_due_at"],
        attempt=row["attempt"],
        ambiguous_at=row["ambiguous_at"],
        is_order_claimed=row["is_order_claimed"],
        lease_until=row["lease_until"],
        waits_for=waits_for,
        waits_until=waits_until,
        has_daemon=any(daemon["is_alive"] for daemon in daemons),
        last_attempt=_attempt(row),
        repairs=row["repairs"],
        reconciled=_reconciled(row),
        circuits=holding,
        operations=tuple(o for o in operations if o.token_id == row["token_id"]),
        now=row["now"],
    )


def _attempt(row: Record) -> Attempt | None:
    if row["last_action"] is None:
        return None
    details = json.loads(row["last_details"])
    return Attempt(
        at=row["last_at"],
        by=details.get("by"),
        action=row["last_action"],
        is_proven=row["last_action"] in _PROVEN,
        http_status=details.get("http_status"),
        error=details.get("error"),
        cause=details.get("cause"),
        duration_ms=row["last_duration_ms"],
    )


def _reconciled(row: Record) -> Reconciled | None:
    if row["reconciled_at"] is None:
        return None
    details = json.loads(row["reconciled_details"])
    return Reconciled(
        at=row["reconciled_at"],
        by=details.get("by"),
        act=details.get("act", "repaired"),
        wanted=details.get("wanted"),
        found=details.get("found"),
    )


def _wait(row: Record, circuits: tuple[CircuitSeen, ...]) -> tuple[Wait, datetime | None]:
    if row["lease_until"] is not None:
        return Wait.IN_FLIGHT, row["lease_until"]
    times = {Wait.RETRY: row["next_row_due_at"], Wait.PUSH_AGAIN: row["push_due_at"]}
    coming = {wait: at for wait, at in times.items() if at is not None}
    if not coming:
        return (Wait.PERSON if row["has_failed"] else Wait.NOTHING), None
    wait = min(coming, key=coming.__getitem__)
    pauses = [c.paused_until for c in circuits if c.paused_until is not None]
    if pauses and max(pauses) > coming[wait]:
        return Wait.PAUSE, max(pauses)
    if coming[wait] > row["now"]:
        return wait, coming[wait]
    for circuit in circuits:  # the service's first
        if circuit.is_open:
            return (Wait.SERVICE if circuit.is_service else Wait.ACCOUNT), circuit.probe_at
    return Wait.DUE, coming[wait]
