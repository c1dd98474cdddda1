"""Settling: writes what came of pushes, many at once, and keeps what cannot be written now."""

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import assert_never

from stocksync.loop import UNTIL_WOKEN
from stocksync.model import DatabaseUnavailable, Done, Outcome, Refused, Retry, Status
from stocksync.relay.line import Line
from stocksync.settlement import Settlement
from stocksync.store import Store
from stocksync.telemetry import get_logger

log = get_logger()

# While more is waiting, outcomes gather this long: one statement settles some ten orders at once.
GATHER_SECONDS = 0.01
SETTLE_LIMIT = 500


@dataclass(slots=True, kw_only=True)
class Tally:
    """What came of pushes since the daemon started, in orders (lost: in rows)."""

    proven: int = 0
    retried: int = 0
    refused: int = 0
    lost: int = 0


class Settling:
    """The outcomes at hand. There are never more than orders claimed: the line and the slots."""

    def __init__(self, *, store: Store, line: Line) -> None:
        self._store = store
        self._line = line
        self._outcomes: list[Settlement] = []
        self._one_at_a_time = asyncio.Lock()
        self.tally = Tally()
        self.settled_at: float | None = None
        """When something was last settled, by the monotonic clock."""

    def __len__(self) -> int:
        """How many wait to be written."""
        return len(self._outcomes)

    def add(self, settlement: Settlement, outcome: Outcome | None = None) -> None:
        """Settle this with the next statement; no outcome: the push was broken off."""
        self._outcomes.append(settlement)
        if outcome is not None:
            self._count(settlement, outcome)

    async def tick(self) -> float:
        """Settle what is at hand."""
        if len(self._line) and len(self._outcomes) < SETTLE_LIMIT:
            await asyncio.sleep(GATHER_SECONDS)
        await self.settle()
        return 0 if self._outcomes else UNTIL_WOKEN

    async def settle(self) -> int:
        """Settle a batch; gives how many orders. What the database cannot take now stays here."""
        async with self._one_at_a_time:
            batch = self._outcomes[:SETTLE_LIMIT]
            if not batch:
                return 0
            lost = await self._write(batch)
            del self._outcomes[: len(batch)]
        self.settled_at = time.monotonic()
        log.debug("relay.settled", orders=len(batch))
        if lost:
            self.tally.lost += lost
            log.warning("relay.lost_leases", rows=lost)
        return len(batch)

    async def _write(self, batch: list[Settlement]) -> int:
        try:
            return await self._store.settle(batch)
        except DatabaseUnavailable:
            raise
        except Exception:
            if len(batch) == 1:
                # A bug: written never, so its lease runs out and its order is pushed again.
                log.exception("relay.cannot_settle", order_id=batch[0].push.order_id)
                return 0
            # One of them holds up all others: find it.
            return sum([await self._write([each]) for each in batch])

    def _count(self, settlement: Settlement, outcome: Outcome) -> None:
        match outcome:
            case Done():
                self.tally.proven += 1
                return
            case Retry():
                self.tally.retried += 1
            case Refused():
                self.tally.refused += 1
            case _:
                assert_never(outcome)
        failed = sum(row.status is Status.FAILED for row in settlement.rows)
        log.log(
            # A retry needs nobody; a failed row needs somebody.
            logging.WARNING if failed else logging.INFO,
            "relay.failed" if failed else "relay.not_proven",
            order_id=settlement.push.order_id,
            token_id=settlement.push.token_id,
            http_status=outcome.http_status,
            reason=outcome.reason,
            failed_rows=failed,
        )
