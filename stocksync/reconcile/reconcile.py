"""Reconcile: which orders a run compares: the timer's, the command's, and the verification."""

import asyncio
import heapq
from collections.abc import Callable
from datetime import datetime, timedelta

from stocksync.database import Database
from stocksync.reconcile.comparison import Comparison
from stocksync.reconcile.reading import AT_ONCE, FlagReader, Key, Reading
from stocksync.reconcile.report import EndedEarly, Report
from stocksync.reconcile.windows import shares, windows
from stocksync.telemetry import get_logger

log = get_logger()

VERIFY_SECONDS = 20
"""Between two verifications: three quarters of the way from the first minute after an ambiguous
call to the fifth are left for those that could not be read at once."""
VERIFY_LIMIT = 500
"""Orders in one verification: twelve of them within the five minutes are 6,000 orders, more than
all daemons hold in their lines."""
WALK_ROWS = 5000
"""Rows that one step of the walk reads: some milliseconds."""


class Reconcile:
    """Compares the flags of both sides and has wrong ones pushed again (README: "Reconciliation").

    `batch_size` bounds a run of the timer, in orders; what settled within `threshold_hours` is
    repaired, what is older is told. `by` is whose hand it is, for the log of the operations.

    Raises `DatabaseUnavailable`, and `EndedEarly` when the service cannot be believed: what was
    compared until then stays; the same is to be looked at once more.
    """

    def __init__(
        self,
        *,
        database: Database,
        service: FlagReader,
        batch_size: int,
        threshold_hours: int,
        by: str,
    ) -> None:
        self._database = database
        self._service = service
        self._batch_size = batch_size
        self._threshold_hours = threshold_hours
        self._by = by
        # Of all runs together: a verification may fall into a run.
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def run(
        self,
        *,
        succeeded_at: datetime | None,
        started_at: datetime,
        is_asked: bool = False,
        asked_by: str | None = None,
        token_id: str | None = None,
    ) -> Report:
        """The timer's turn: ambiguous orders, then those that are of the ages to be looked at.

        `succeeded_at` is when the last turn that ended well began (None: there was none),
        `started_at` when this one did, both by the database. `is_asked`: somebody, `asked_by`,
        wants a look at once: it does what the command does, of the account `token_id` alone or
        (None) of all; of all, its turn as well.
        """
        comparison = self._comparison(by=asked_by)
        await comparison.begin()
        if is_asked:
            await self._sweep(comparison, token_id)
        if token_id is None:
            await self._take_turn(comparison, succeeded_at, started_at)
        return self._told(await comparison.end())

    async def sweep(
        self,
        *,
        token_id: str | None = None,
        is_dry_run: bool = False,
        told: Callable[[int, int], None] = lambda *_: None,
    ) -> Report:
        """Look at every order settled within the threshold, and at a batch of any older ones.

        `told` hears of the progress: orders checked, discrepancies found.
        """
        comparison = self._comparison(is_dry_run=is_dry_run, told=told)
        await comparison.begin()
        await self._sweep(comparison, token_id)
        return self._told(await comparison.end())

    async def verify(self) -> Report:
        """Read the flags of ambiguous orders, a minute after the call or later.

        While the service is away, or all is paused, they stay as they are. Also forgets repairs a
        day after the last one.
        """
        await self._database.fetch("reconcile_forget")
        orders = await self._ambiguous(VERIFY_LIMIT)
        if not orders:
            return Report()
        comparison = self._comparison()
        try:
            await comparison.begin()
        except EndedEarly:
            return Report(not_reached=len(orders))
        await comparison.compare(orders)
        return self._told(await comparison.end())

    async def _take_turn(
        self, comparison: Comparison, succeeded_at: datetime | None, started_at: datetime
    ) -> None:
        ambiguous = await self._ambiguous(self._batch_size)
        since = succeeded_at or started_at - timedelta(hours=self._threshold_hours)
        of_age = await self._of_age(since, started_at, self._batch_size - len(ambiguous))
        orders = dict.fromkeys(ambiguous)
        for window, order_count in of_age:
            orders.update(dict.fromkeys(window))
            comparison.leave_out(order_count - len(window))
        await comparison.compare(list(orders))

    async def _sweep(self, comparison: Comparison, token_id: str | None) -> None:
        older: list[tuple[float, str, str]] = []
        older_count = 0
        after: str | None = ""
        while after is not None:
            step = await self._database.fetchrow(
                "reconcile_walk",
                after,
                token_id,
                self._threshold_hours,
                self._batch_size,
                WALK_ROWS,
            )
            assert step is not None  # noqa: S101 - the function always answers
            after = step["last_order_id"]
            await comparison.compare(
                list(zip(step["tokens"] or (), step["orders"] or (), strict=True))
            )
            drawn = (step["older_lots"], step["older_tokens"], step["older_orders"])
            older = heapq.nsmallest(
                self._batch_size,
                [*older, *zip(*(column or () for column in drawn), strict=True)],
            )
            older_count += step["older_count"]
        await comparison.compare([(token, order_id) for _, token, order_id in older])
        comparison.leave_out(older_count - len(older))

    async def _ambiguous(self, limit: int) -> list[Key]:
        rows = await self._database.fetch("reconcile_verify", limit)
        return [(row["token_id"], row["order_id"]) for row in rows]

    async def _of_age(
        self, since: datetime, until: datetime, room: int
    ) -> list[tuple[list[Key], int]]:
        """Orders of each window, as many as there is room for, and how many there are."""
        found = []
        for start, end in windows(since, until):
            rows = await self._database.fetch("reconcile_settled", start, end, self._batch_size)
            orders = [(row["token_id"], row["order_id"]) for row in rows]
            found.append((orders, rows[0]["order_count"] if rows else 0))
        taken = shares(room, [len(orders) for orders, _ in found])
        return [
            (orders[:share], order_count)
            for share, (orders, order_count) in zip(taken, found, strict=True)
        ]

    def _comparison(
        self,
        *,
        by: str | None = None,
        is_dry_run: bool = False,
        told: Callable[[int, int], None] = lambda *_: None,
    ) -> Comparison:
        return Comparison(
            database=self._database,
            reading=Reading(service=self._service, slots=self._slots),
            threshold_hours=self._threshold_hours,
            most_lost=self._batch_size,
            by=by or self._by,
            is_dry_run=is_dry_run,
            told=told,
        )

    def _told(self, report: Report) -> Report:
        if report.found:
            log.warning("reconcile.found", **report.as_result())
        return report
