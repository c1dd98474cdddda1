"""Cleanup: orders that are over and old go, in small batches; what they came to stays."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from stocksync.database import Database
from stocksync.telemetry import get_logger

log = get_logger()

# Rows, and log entries read, in one transaction: some tens of milliseconds. An order is never
# cut: one that has more rows than this goes alone.
BATCH_ROWS = 500
# Half of the time, at least, is for those who push.
LEAST_REST_SECONDS = 0.05
# One statement over all rows, for a person who waits: 5 s for a million.
COUNT_SECONDS = 600.0
# A month can be compared with the one before.
MINUTES_DAYS = 35
CHANGES_SENT_DAYS = 7
# Telegram may have been away, or not set up: nobody wants to hear of it after that.
CHANGES_UNSENT_DAYS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """What a cleanup deleted, or would delete."""

    orders: int = 0
    completed: int = 0
    """Operations that were completed; the next two likewise."""
    cancelled: int = 0
    failed: int = 0
    balances_carried: int = 0
    """Orders that left a balance behind, or added to it, that is not 0."""
    balances_forgotten: int = 0
    minutes: int = 0
    """Minutes of the statistics."""
    changes: int = 0
    """Changes of state that were told, or are too old to be."""
    took_seconds: float = 0.0

    @property
    def operations(self) -> int:
        """All that went, with their log entries."""
        return self.completed + self.cancelled + self.failed

    @property
    def is_nothing(self) -> bool:
        """Nothing was there to be deleted."""
        return not (self.operations or self.balances_forgotten or self.minutes or self.changes)

    def as_result(self) -> dict[str, Any]:
        """Plain values, for the timer and for --json."""
        return asdict(self) | {"operations": self.operations}


class Cleanup:
    """Deletes orders all of whose rows are over and older than their days, with their logs.

    An order's balance is carried over for `balance_days` more, so that a late refund is still
    right. Nothing that is pending, in flight, to be pushed again or ambiguous is touched.
    `on_progress` hears after each batch how many operations went so far.
    Raises `DatabaseUnavailable` when the database is away: what was deleted until then is.
    """

    def __init__(
        self,
        *,
        database: Database,
        completed_days: int,
        failed_days: int,
        balance_days: int,
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        self._database = database
        self._completed_days = completed_days
        self._failed_days = failed_days
        self._balance_days = balance_days
        self._on_progress = on_progress

    async def run(self) -> Cleaned:
        """Delete, batch by batch with rests; may be cancelled at any time."""
        began_at = time.monotonic()
        counts: Counter[str] = Counter()
        await self._delete_orders(counts)
        await self._forget(counts)
        cleaned = Cleaned(**counts, took_seconds=round(time.monotonic() - began_at, 3))
        if not cleaned.is_nothing:
            log.info("cleanup.done", **cleaned.as_result())
        return cleaned

    async def count(self) -> Cleaned:
        """Count what a run would delete now, and change nothing at all."""
        began_at = time.monotonic()
        async with self._database.connection() as connection:
            row = await connection.fetchrow(
                self._database.query("cleanup_count"),
                self._completed_days,
                self._failed_days,
                MINUTES_DAYS,
                CHANGES_SENT_DAYS,
                CHANGES_UNSENT_DAYS,
                timeout=COUNT_SECONDS,
            )
        assert row is not None  # noqa: S101 - an aggregate always answers
        return Cleaned(**row, took_seconds=round(time.monotonic() - began_at, 3))

    async def _delete_orders(self, counts: Counter[str]) -> None:
        after: int | None = 0
        while after is not None:
            began_at = time.monotonic()
            row = await self._database.fetchrow(
                "cleanup",
                after,
                BATCH_ROWS,
                self._completed_days,
                self._failed_days,
                self._balance_days,
            )
            assert row is not None  # noqa: S101 - the function always answers
            batch = dict(row)
            after = batch.pop("next_after")
            counts.update(batch)
            if self._on_progress is not None:
                self._on_progress(counts["completed"] + counts["cancelled"] + counts["failed"])
            if after is not None:
                await _rest(time.monotonic() - began_at)

    async def _forget(self, counts: Counter[str]) -> None:
        is_more = True
        while is_more:
            began_at = time.monotonic()
            row = await self._database.fetchrow(
                "cleanup_forget",
                BATCH_ROWS,
                self._balance_days,
                MINUTES_DAYS,
                CHANGES_SENT_DAYS,
                CHANGES_UNSENT_DAYS,
            )
            assert row is not None  # noqa: S101 - the function always answers
            counts.update(
                balances_forgotten=row["balances"], minutes=row["minutes"], changes=row["changes"]
            )
            is_more = row["is_more"]
            if is_more:
                await _rest(time.monotonic() - began_at)


async def _rest(took_seconds: float) -> None:
    """As long as the work took."""
    await asyncio.sleep(max(LEAST_REST_SECONDS, took_seconds))
