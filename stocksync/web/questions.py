"""Questions that only the web has: bounded, whatever there is of what they ask."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from stocksync.database import Database, Record
from stocksync.model import Status, UnknownOperation
from stocksync.operations import LogEntry, Operation, Order
from stocksync.operations.told import log_entry_of, operation_of, order_of
from stocksync.verdict import CircuitSeen

MOST_ROWS, MOST_ROWS_IN_ALL = 200, 1000
"""Of an order of one account, and of all accounts, the newest; more than a page shows."""
MOST_ENTRIES = 1000
"""Of histories, the newest of each."""
MOST_POINTS = 240
"""Of a chart: more than a telephone has pixels for."""
MOST_FAILED, MOST_GROUPS = 10_000, 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An operation and what happened to it, in order."""

    operation: Operation
    history: tuple[LogEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderTold:
    """An order of one account, and its newest rows with what happened to them, oldest first."""

    order: Order
    rows: tuple[Told, ...]
    total: int
    """How many rows it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """Failed operations by account and error, the most frequent first."""

    groups: tuple[dict[str, Any], ...]
    looked_at: int
    is_sample: bool
    """There are more failed ones than were looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What was done, in buckets of equal length; the last one is not over."""

    bucket_minutes: int
    points: tuple[dict[str, Any], ...]


class Ask(Protocol):
    """Fetches the rows of `sql/queries/<name>.sql`."""

    async def __call__(self, name: str, /, *args: object) -> list[Record]:
        """Ask within the same snapshot as the questions before."""


class Questions:
    """All times are the database's. Raises `DatabaseUnavailable` when it is away."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def operation(self, operation_id: UUID) -> Told:
        """One operation and its history. Raises `UnknownOperation`."""
        async with self._at_one_moment() as ask:
            found = await ask("show", operation_id)
            if not found:
                raise UnknownOperation(f"there is no operation {operation_id}")
            entries = await ask("web_log", [operation_id], MOST_ENTRIES)
        return _told([operation_of(found[0])], entries)[0]

    async def order(self, order_id: str, token_id: str | None) -> tuple[OrderTold, ...]:
        """The order of each account that knows it. Raises `UnknownOperation` when none does."""
        async with self._at_one_moment() as ask:
            found = await ask("show_order", order_id, token_id)
            if not found:
                raise UnknownOperation(
                    f"nothing is known of the order {order_id!r} (its case matters)"
                )
            totals = {
                row["token_id"]: row["total"]
                for row in await ask("web_order_totals", order_id, token_id)
            }
            rows = await ask("web_order_rows", order_id, token_id, MOST_ROWS, MOST_ROWS_IN_ALL)
            entries = await ask("web_log", [row["id"] for row in rows], MOST_ENTRIES)
            circuits = [CircuitSeen(**row) for row in await ask("circuits")]
            daemons = await ask("daemons")
        told = _told([operation_of(row) for row in rows], entries)
        return tuple(
            OrderTold(
                order=order_of(row, order_id, (), circuits, daemons),
                rows=tuple(t for t in told if t.operation.token_id == row["token_id"]),
                total=totals.get(row["token_id"], 0),
            )
            for row in found
        )

    async def failures(self) -> Failures:
        """Why operations failed for good."""
        rows = await self._database.fetch("web_errors", MOST_FAILED, MOST_GROUPS)
        looked_at = rows[0]["looked_at"] if rows else 0
        names = ("token_id", "error", "row_count", "order_count", "last_at", "examples")
        return Failures(
            groups=tuple({name: row[name] for name in names} for row in rows),
            looked_at=looked_at,
            is_sample=looked_at >= MOST_FAILED,
        )

    async def history(self, hours: int) -> History:
        """What was done in the last hours."""
        minutes = 60 * hours
        bucket_minutes = -(-minutes // MOST_POINTS)
        rows = await self._database.fetch("web_history", minutes, bucket_minutes)
        return History(bucket_minutes=bucket_minutes, points=tuple(dict(row) for row in rows))

    @asynccontextmanager
    async def _at_one_moment(self) -> AsyncIterator[Ask]:
        async with (
            self._database.reading() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):

            async def ask(name: str, /, *args: object) -> list[Record]:
                return await connection.fetch(self._database.query(name), *args)

            yield ask


def _told(operations: Sequence[Operation], entries: Iterable[Record]) -> list[Told]:
    by_operation: dict[UUID, list[LogEntry]] = {each.id: [_birth(each)] for each in operations}
    for entry in entries:
        by_operation[entry["operation_id"]].append(log_entry_of(entry))
    return [Told(operation=each, history=tuple(by_operation[each.id])) for each in operations]


def _birth(operation: Operation) -> LogEntry:
    """The INSERT: the order system does not pay for a log entry."""
    return LogEntry(
        id=None,
        operation_id=operation.id,
        action="created",
        status=Status.PENDING,
        details={},
        timestamp=operation.created_at,
        execution_time_ms=None,
    )
