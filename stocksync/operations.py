"""Operations: what people ask about them, and what they do to them by hand."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from stocksync.database import Database, Record
from stocksync.model import NotPossible, OperationType, Status, UnknownOperation
from stocksync.verdict import DaemonSeen, Numbers, Snapshot, Standing, judge

# A flag that was written ambiguously is read again not earlier than this (README: "Ambiguous").
VERIFY_AFTER = timedelta(seconds=60)


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
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """An operation, and what happened to it, in order."""

    operation: Operation
    history: tuple[LogEntry, ...]
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
    VERIFY = "verify"
    """A call may still be applied: the flag is read again, not earlier than then."""
    NOTHING = "nothing"


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
    is_order_claimed: bool
    lease_until: datetime | None
    """Of the order or of its rows; None: not in flight."""
    waits_for: Wait
    waits_until: datetime | None
    operations: tuple[Operation, ...]
    now: datetime


class Operations:
    """Questions about operations, and retry and cancel by hand.

    All times are the database's. Raises `DatabaseUnavailable` when it is away.
    """

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def list_operations(
        self,
        *,
        status: Status | None = None,
        token_id: str | None = None,
        order_id: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> Page:
        """Those that match all that is given, newest first."""
        matching = (status, token_id, order_id)
        rows = await self._database.fetch("list_operations", *matching, limit, offset)
        [counted] = await self._database.fetch("count_operations", *matching)
        return Page(
            operations=tuple(_operation(row) for row in rows),
            total=counted["total"],
            limit=limit,
            offset=offset,
            now=counted["now"],
        )

    async def show(self, operation_id: UUID) -> Story:
        """One operation and its history. Raises `UnknownOperation`."""
        found, entries = await self._at_one_moment("show", "history", operation_id)
        if not found:
            raise UnknownOperation(f"there is no operation {operation_id}")
        return Story(
            operation=_operation(found[0]),
            history=tuple(_log_entry(entry) for entry in entries),
            now=found[0]["now"],
        )

    async def show_order(self, order_id: str, token_id: str | None = None) -> tuple[Order, ...]:
        """The order of each account that knows it. Raises `UnknownOperation` when none does."""
        found, rows = await self._at_one_moment("show_order", "order_rows", order_id, token_id)
        if not found:
            account = "" if token_id is None else f" of the account {token_id}"
            raise UnknownOperation(f"nothing is known of the order {order_id!r}{account}")
        operations = [_operation(row) for row in rows]
        return tuple(
            _order(row, order_id, tuple(o for o in operations if o.token_id == row["token_id"]))
            for row in found
        )

    async def retry(self, ids: Sequence[UUID], *, by: str) -> tuple[UUID, ...]:
        """Make pending and failed operations due now, their retries uncounted; all of them or none.

        Gives them, each once. `by` is whose hand it was. Raises `UnknownOperation`, `NotPossible`.
        """
        return await self._change("retry", ids, by)

    async def cancel(
        self, ids: Sequence[UUID], *, by: str, reason: str | None = None
    ) -> tuple[UUID, ...]:
        """Take pending and failed operations out of their orders' sums; all of them or none.

        The orders are pushed again. Gives the operations, each once. `by` is whose hand it was.
        Raises `UnknownOperation`, and `NotPossible`, also for what is in flight.
        """
        return await self._change("cancel", ids, by, reason)

    async def status(self, *, lease_seconds: float) -> Standing:
        """How the outbox stands; by `lease_seconds` one tells a standstill from a slow moment."""
        [row] = await self._database.fetch("status")
        numbers = Numbers(**dict(row))
        daemons = tuple(
            DaemonSeen(**dict(daemon)) for daemon in await self._database.fetch("daemons")
        )
        oldest = await self._database.fetchrow("oldest_snapshot")
        verdict, reasons = judge(numbers, daemons, lease_seconds=lease_seconds)
        return Standing(
            verdict=verdict,
            reasons=reasons,
            numbers=numbers,
            daemons=daemons,
            oldest_snapshot=None if oldest is None else Snapshot(**dict(oldest)),
        )

    async def _at_one_moment(
        self, first: str, second: str, *args: object
    ) -> tuple[list[Record], list[Record]]:
        """Two statements of one snapshot: what they say fits together."""
        async with (
            self._database.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            return (
                await connection.fetch(self._database.query(first), *args),
                await connection.fetch(self._database.query(second), *args),
            )

    async def _change(self, change: str, ids: Sequence[UUID], *args: object) -> tuple[UUID, ...]:
        asked = tuple(dict.fromkeys(ids))
        schema = self._database.schema
        async with (
            self._database.connection() as connection,
            # After the lock, a statement must see what the claim before it did.
            connection.transaction(isolation="read_committed"),
        ):
            await connection.execute(self._database.query("claim_lock"), schema)
            rows = await connection.fetch(self._database.query(change), asked, *args)
            # An error of these takes the transaction, and so the whole change, back.
            _all_known(asked, rows)
            _all_changed(change, asked, rows)
            await connection.execute(self._database.query("wake"), schema)
        return asked


def _all_known(asked: tuple[UUID, ...], rows: Sequence[Record]) -> None:
    known = {row["id"] for row in rows}
    if unknown := [str(i) for i in asked if i not in known]:
        raise UnknownOperation(f"there is no operation {', '.join(unknown)}{_nothing_done(asked)}")


def _all_changed(change: str, asked: tuple[UUID, ...], rows: Sequence[Record]) -> None:
    statuses = {row["id"]: row["status"] for row in rows if not row["is_changed"]}
    # A failed row may be completed by a push of its order between the look and the lock.
    if kept := [f"{i} is {statuses[i]}" for i in asked if i in statuses]:
        raise NotPossible(
            f"{', '.join(kept)}: {change} is for pending and failed operations"
            f"{_nothing_done(asked)}"
        )


def _nothing_done(asked: tuple[UUID, ...]) -> str:
    return "; nothing was changed" if len(asked) > 1 else ""


_COLUMNS = tuple(field.name for field in fields(Operation))


def _operation(row: Record) -> Operation:
    columns = {name: row[name] for name in _COLUMNS}
    columns["operation_type"] = OperationType(row["operation_type"])
    columns["status"] = Status(row["status"])
    return Operation(**columns)


def _log_entry(row: Record) -> LogEntry:
    columns = dict(row)
    # The driver gives jsonb as its text.
    columns["details"] = json.loads(row["details"])
    columns["status"] = Status(row["status"])
    return LogEntry(**columns)


def _order(row: Record, order_id: str, operations: tuple[Operation, ...]) -> Order:
    waits_for, waits_until = _wait(row)
    columns = {name: value for name, value in row.items() if name != "next_row_due_at"}
    return Order(
        **columns,
        order_id=order_id,
        # One definition: the flag is the sign of stock_sync_order's balance.
        wanted_flag=row["balance"] > 0,
        waits_for=waits_for,
        waits_until=waits_until,
        operations=operations,
    )


def _wait(row: Record) -> tuple[Wait, datetime | None]:
    if row["lease_until"] is not None:
        return Wait.IN_FLIGHT, row["lease_until"]
    times = {Wait.RETRY: row["next_row_due_at"], Wait.PUSH_AGAIN: row["push_due_at"]}
    coming = {wait: at for wait, at in times.items() if at is not None}
    if coming:
        wait = min(coming, key=coming.__getitem__)
        return (Wait.DUE if coming[wait] <= row["now"] else wait), coming[wait]
    if row["ambiguous_at"] is not None:
        return Wait.VERIFY, row["ambiguous_at"] + VERIFY_AFTER
    return Wait.NOTHING, None
