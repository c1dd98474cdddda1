"""Bulk: all that failed and matches, counted first, then retried or cancelled batch by batch."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from stocksync.database import Database

# A batch holds up all claiming for some 20 ms.
BATCH_ROWS = 500
# Ids that are read at once: a megabyte or two.
PAGE_ROWS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """So many of the operations have this account, or this error."""

    name: str | None
    """None: no error was written down."""
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The failed operations that match; what failed after `until` is not among them."""

    token_id: str | None
    """Of this account only; None: of any."""
    error: str | None
    """Only those whose error contains this text, literally; None: whatever their error."""
    count: int
    account_count: int
    accounts: tuple[Share, ...]
    """Those that have most, ten at most; `errors` likewise."""
    error_count: int
    errors: tuple[Share, ...]
    until: datetime
    """The database's time of the count."""


class Bulk:
    """Failed operations by the thousand. Raises `DatabaseUnavailable` when the database is away.

    Each batch is a transaction of its own, and daemons claim between two of them. What is not
    failed any more when its turn comes, or failed anew, is passed over.
    """

    def __init__(
        self, *, database: Database, batch_rows: int = BATCH_ROWS, page_rows: int = PAGE_ROWS
    ) -> None:
        self._database = database
        self._batch_rows = batch_rows
        self._page_rows = page_rows

    async def count(self, *, token_id: str | None = None, error: str | None = None) -> Failed:
        """Those that match now."""
        rows = await self._database.fetch("failed_counts", token_id, error)
        kinds = {kind: [r for r in rows if r["kind"] == kind] for kind in ("account", "error")}
        accounts = tuple(Share(name=r["token_id"], count=r["row_count"]) for r in kinds["account"])
        errors = tuple(Share(name=r["error"], count=r["row_count"]) for r in kinds["error"])
        [everything] = (row for row in rows if row["kind"] == "all")
        return Failed(
            token_id=token_id,
            error=error,
            count=everything["row_count"],
            account_count=kinds["account"][0]["kind_count"] if accounts else 0,
            accounts=accounts,
            error_count=kinds["error"][0]["kind_count"] if errors else 0,
            errors=errors,
            until=everything["now"],
        )

    async def retry(self, failed: Failed, *, by: str, on_progress: Callable[[int], None]) -> int:
        """Make them due now, their retries uncounted; gives how many were changed.

        `on_progress` hears after each batch how many were changed so far; also when this is
        cancelled or fails, what it heard last was done. `by` is whose hand it was.
        """
        return await self._change("retry", failed, by, on_progress=on_progress)

    async def cancel(
        self,
        failed: Failed,
        *,
        by: str,
        reason: str | None = None,
        on_progress: Callable[[int], None],
    ) -> int:
        """Take them out of their orders' sums, and have these pushed again; else as `retry`."""
        return await self._change("cancel", failed, by, reason, on_progress=on_progress)

    async def _change(
        self, change: str, failed: Failed, *args: object, on_progress: Callable[[int], None]
    ) -> int:
        changed = 0
        after: tuple[Any, ...] = ("", failed.until, UUID(int=0))
        while page := await self._database.fetch(
            "failed_page", failed.token_id, failed.error, failed.until, *after, self._page_rows
        ):
            after = (page[-1]["token_id"], page[-1]["updated_at"], page[-1]["id"])
            for start in range(0, len(page), self._batch_rows):
                ids = [row["id"] for row in page[start : start + self._batch_rows]]
                batch = asyncio.create_task(self._batch(change, ids, *args, failed.until))
                try:
                    await asyncio.shield(batch)
                finally:
                    # Cancelled or not, what has begun is finished: what is said of it is true.
                    changed += await batch
                    on_progress(changed)
        return changed

    async def _batch(self, change: str, ids: list[UUID], *args: object) -> int:
        schema = self._database.schema
        async with (
            self._database.connection() as connection,
            # After the lock, a statement must see what the claim before it did.
            connection.transaction(isolation="read_committed"),
        ):
            await connection.execute(self._database.query("claim_lock"), schema)
            rows = await connection.fetch(self._database.query(change), ids, *args)
            await connection.execute(self._database.query("wake"), schema)
        return sum(row["is_changed"] for row in rows)
