"""The questions that people ask about operations, and retry and cancel by hand."""

import json
from collections import ChainMap
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from stocksync.database import Database, Record
from stocksync.model import NotPossible, Status, UnknownOperation
from stocksync.operations.told import (
    Minute,
    Order,
    Page,
    Story,
    circuits_of,
    log_entry_of,
    operation_of,
    order_of,
)
from stocksync.verdict import (
    CircuitSeen,
    DaemonSeen,
    Limits,
    Numbers,
    Snapshot,
    Standing,
    TelegramSeen,
    TimerSeen,
    judge,
)

# A statement about a queue of tens of millions.
LOOK_SECONDS = 60.0


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
        rows, [counted], circuits = await self._at_one_moment(
            ("list_operations", *matching, limit, offset),
            ("count_operations", *matching),
            ("circuits",),
        )
        return Page(
            operations=tuple(operation_of(row) for row in rows),
            total=counted["total"],
            limit=limit,
            offset=offset,
            circuits=tuple(CircuitSeen(**row) for row in circuits),
            now=counted["now"],
        )

    async def show(self, operation_id: UUID) -> Story:
        """One operation and its history. Raises `UnknownOperation`."""
        found, entries, circuits = await self._at_one_moment(
            ("show", operation_id), ("history", operation_id), ("circuits",)
        )
        if not found:
            raise UnknownOperation(f"there is no operation {operation_id}")
        operation = operation_of(found[0])
        return Story(
            operation=operation,
            history=tuple(log_entry_of(entry) for entry in entries),
            circuits=circuits_of((CircuitSeen(**row) for row in circuits), operation.token_id),
            now=found[0]["now"],
        )

    async def show_order(self, order_id: str, token_id: str | None = None) -> tuple[Order, ...]:
        """The order of each account that knows it. Raises `UnknownOperation` when none does."""
        found, rows, circuits, daemons = await self._at_one_moment(
            ("show_order", order_id, token_id),
            ("order_rows", order_id, token_id),
            ("circuits",),
            ("daemons",),
        )
        if not found:
            account = "" if token_id is None else f" of the account {token_id}"
            raise UnknownOperation(
                f"nothing is known of the order {order_id!r}{account} "
                "(an order's id is case-sensitive)"
            )
        operations = [operation_of(row) for row in rows]
        seen = [CircuitSeen(**row) for row in circuits]
        return tuple(order_of(row, order_id, operations, seen, daemons) for row in found)

    async def retry(self, ids: Sequence[UUID], *, by: str) -> tuple[UUID, ...]:
        """Make pending and failed operations due now, their retries uncounted; all of them or none.

        Gives them, each once. `by` is whose hand it was. Raises `UnknownOperation`, `NotPossible`.
        """
        return await self._change("retry", ids, by, None)

    async def cancel(
        self, ids: Sequence[UUID], *, by: str, reason: str | None = None
    ) -> tuple[UUID, ...]:
        """Take pending and failed operations out of their orders' sums; all of them or none.

        The orders are pushed again. Gives the operations, each once. `by` is whose hand it was.
        Raises `UnknownOperation`, and `NotPossible`, also for what is in flight.
        """
        return await self._change("cancel", ids, by, reason, None)

    async def status(self, *, limits: Limits, with_census: bool = False) -> Standing:
        """How the outbox stands, judged by these limits.

        Costs what waits, and nothing for what is done; but `with_census`, which looks at every row
        to count what is completed and cancelled.
        """
        answers = await self._at_one_moment(
            *([("census",)] if with_census else []),
            ("by_index",),
            ("status",),
            ("rates", limits.failure_rate_window_minutes),
            ("errors",),
            ("waiting", limits.stale_hours),
            ("circuits",),
            ("daemons",),
            ("timer_seen",),
            ("telegram",),
            ("oldest_snapshot",),
            timeout_seconds=LOOK_SECONDS,
        )
        counted = answers.pop(0)[0] if with_census else {"completed": None, "cancelled": None}
        _, [left], [rates], erring, due, held, seen, timed, [telegraph], [holder] = answers
        numbers = _numbers({**counted, **left, **rates}, erring, due)
        waiting = {row["held_by"]: row["row_count"] for row in due}
        circuits = tuple(
            CircuitSeen(**row, waiting_rows=waiting.get(row["token_id"], 0)) for row in held
        )
        daemons = tuple(DaemonSeen(**row) for row in seen)
        timers = tuple(_timer(row) for row in timed)
        telegram = TelegramSeen(**telegraph)
        verdict, reasons = judge(numbers, daemons, circuits, timers, telegram, limits=limits)
        return Standing(
            verdict=verdict,
            reasons=reasons,
            numbers=numbers,
            circuits=circuits,
            daemons=daemons,
            timers=timers,
            telegram=telegram,
            oldest_snapshot=_snapshot(holder),
            is_snapshot_hidden=holder["is_hidden"],
            limits=limits,
        )

    async def minutes(self, count: int) -> tuple[Minute, ...]:
        """What was pushed in each of the last minutes, the present one last."""
        return tuple(Minute(**row) for row in await self._database.fetch("minutes", count))

    async def _at_one_moment(
        self, *questions: tuple[Any, ...], timeout_seconds: float | None = None
    ) -> list[list[Record]]:
        """Statements, each with its parameters, in one snapshot: what they say fits together."""
        async with (
            self._database.reading() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            return [
                await connection.fetch(
                    self._database.query(name), *parameters, timeout=timeout_seconds
                )
                for name, *parameters in questions
            ]

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
    held = [str(i) for i in asked if statuses.get(i) in (Status.PENDING, Status.FAILED)]
    if held:
        raise NotPossible(
            f"{', '.join(held)}: somebody else is changing it at this moment, try again"
            f"{_nothing_done(asked)}"
        )
    # A failed row may be completed by a push of its order between the look and the lock.
    if kept := [f"{i} is {statuses[i]}" for i in asked if i in statuses]:
        raise NotPossible(
            f"{', '.join(kept)}: {change} is for pending and failed operations"
            f"{_nothing_done(asked)}"
        )


def _nothing_done(asked: tuple[UUID, ...]) -> str:
    return "; nothing was changed" if len(asked) > 1 else ""


def _snapshot(row: Record) -> Snapshot | None:
    names = ("pid", "application_name", "state", "age_seconds")
    return None if row["pid"] is None else Snapshot(**{name: row[name] for name in names})


def _timer(row: Record) -> TimerSeen:
    # The driver gives jsonb as its text.
    result = None if row["result"] is None else json.loads(row["result"])
    return TimerSeen(**{**row, "result": result})


def _numbers(counted: dict[str, Any], erring: Sequence[Record], due: Sequence[Record]) -> Numbers:
    errors = {row["status"]: row["error"] for row in erring}
    held = [row for row in due if row["held_by"] is not None]
    free = next((row for row in due if row["held_by"] is None), None)
    # The driver gives jsonb as its text.
    stale_accounts = [json.loads(row["stale_accounts"]) for row in due]
    return Numbers(
        **counted,
        pending=sum(row["pending"] for row in due),
        processing=sum(row["processing"] for row in due),
        stale=sum(row["stale"] for row in due),
        stale_accounts=dict(ChainMap(*stale_accounts)),
        next_due_at=min((row["next_due_at"] for row in due if row["next_due_at"]), default=None),
        due_rows=free["row_count"] if free else 0,
        due_orders=free["order_count"] if free else 0,
        oldest_due_at=free["oldest_due_at"] if free else None,
        claimable_since=free["claimable_since"] if free else None,
        retrying=free["retrying"] if free else 0,
        next_retry_at=free["next_retry_at"] if free else None,
        waiting_rows=sum(row["row_count"] for row in held),
        waiting_orders=sum(row["order_count"] for row in held),
        retry_error=errors.get(Status.PENDING),
        failed_error=errors.get(Status.FAILED),
    )
