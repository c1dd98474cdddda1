"""Settling: writes what came of pushes, many at once, and keeps what cannot be written now."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, assert_never
from uuid import UUID

from stocksync.circuit import Seen, seen
from stocksync.loop import UNTIL_WOKEN
from stocksync.model import Done, Outcome, Push, Refused, Retry, StocksyncError
from stocksync.relay.line import Line
from stocksync.relay.metering import Meter
from stocksync.settlement import Settlement
from stocksync.store import Counts, Settled, Store
from stocksync.telemetry import get_logger

log = get_logger()

# While more is waiting, outcomes gather this long: one statement settles some ten orders at once.
GATHER_SECONDS = 0.01
SETTLE_LIMIT = 500
# What could not be told while the database was away; older news says nothing any more.
LONGEST_MEMORY = 1000
# Between two tries at rows that somebody else has locked.
BLOCKED_SECONDS = 0.2


@dataclass(slots=True, kw_only=True)
class Tally:
    """What came of pushes since the daemon started, in orders (lost: in rows)."""

    proven: int = 0
    retried: int = 0
    refused: int = 0
    lost: int = 0


# What is to be written, and told to the circuits; None: they have been told, or need not be.
Outcomes = list[tuple[Settlement, Seen | None]]
# From, until; by the monotonic clock.
Span = tuple[float, float]


class OnSettled(Protocol):
    """Hears what was settled (`watching.Watching.told`)."""

    async def __call__(self, pushes: Sequence[Seen], /, *, is_clean: bool) -> None:
        """These were settled; `is_clean`: no circuit has anything against what was proven.

        When it raises, it has heard of none of them, and hears of all once more.
        """


class Settling:
    """The outcomes at hand; with too many of them unwritten, nothing more is claimed."""

    def __init__(self, *, store: Store, line: Line, on_settled: OnSettled, meter: Meter) -> None:
        self._store = store
        self._line = line
        self._on_settled = on_settled
        self._meter = meter
        self._outcomes: Outcomes = []
        # Settled, but the circuits do not know yet.
        self._untold: list[Seen] = []
        self._is_clean = True
        self._one_at_a_time = asyncio.Lock()
        self._unwritten = Counts()
        # Counted once a batch: two sums a push cost as much as the rest of its settling.
        self._pushes: list[Settlement] = []
        # When the first and the last of the rows in it were completed, by the monotonic clock.
        self._completed_at: Span | None = None
        self.tally = Tally()
        self.settled_at: float | None = None
        """When rows that may be claimed last got on, by the monotonic clock."""

    def __len__(self) -> int:
        """How many wait to be written."""
        return len(self._outcomes)

    @property
    def is_full(self) -> bool:
        """Nothing more should be claimed until some of these are written.

        While one batch is written, what was claimed may be pushed and the next be claimed.
        """
        return len(self._outcomes) >= SETTLE_LIMIT + self._line.target

    def add(self, settlement: Settlement, outcome: Outcome | None = None) -> None:
        """Settle this with the next statement; no outcome: the push was broken off."""
        self._meter.pushed(outcome, seconds=settlement.duration_ms / 1000)
        if outcome is None:
            self._outcomes.append((settlement, None))
        else:
            self._outcomes.append((settlement, seen(settlement.push, outcome)))
            self._pushes.append(settlement)
            self._tell_push(settlement, outcome)

    async def tick(self) -> float:
        """Settle what is at hand."""
        # What was not proven is told at once: the circuits wait for it.
        is_all_proven = all(settlement.is_proven for settlement, _ in self._outcomes)
        if len(self._line) and len(self._outcomes) < SETTLE_LIMIT and is_all_proven:
            await asyncio.sleep(GATHER_SECONDS)
        is_blocked = await self.settle()
        if not self._outcomes:
            return UNTIL_WOKEN
        return BLOCKED_SECONDS if is_blocked else 0

    async def settle(self) -> bool:
        """Settle a batch, and tell of it; True: somebody else has locked rows of it.

        What the database cannot take now stays here, and so does what it does not let us tell.
        """
        async with self._one_at_a_time:
            is_blocked = await self._settle_batch()
            await self._tell()
        return is_blocked

    async def _settle_batch(self) -> bool:
        batch, again = self._next_batch()
        if not batch:
            return False
        began_at = time.monotonic()
        settled = await self._write([settlement for settlement, _ in batch])
        self._meter.settled(settled, seconds=time.monotonic() - began_at)
        self._outcomes[: len(batch) + len(again)] = [
            *(
                (_left(settlement, settled.blocked), None)
                for settlement, _ in batch
                if settled.blocked and any(row.id in settled.blocked for row in settlement.rows)
            ),
            *again,
        ]
        if any(_moves_on(settlement, settled) for settlement, _ in batch):
            self.settled_at = time.monotonic()
        self._untold = [*self._untold, *(each for _, each in batch if each)][-LONGEST_MEMORY:]
        self._is_clean = self._is_clean and settled.is_clean
        self._count_pushes()
        self._count_rows(settled)
        self._tell_rows(settled, batch)
        return bool(settled.blocked)

    async def _tell(self) -> None:
        # It must succeed in the end: the ramp's brake waits for it, and while nothing is pushed
        # nothing is settled that would bring the next one here.
        if self._untold:
            await self._on_settled(self._untold, is_clean=self._is_clean)
            self._untold = []
            self._is_clean = True

    async def flush(self) -> None:
        """Add what was counted since the last time to the present minute, over all daemons.

        A SIGKILL loses what was done since the last beat, and no more.
        """
        self._count_pushes()
        counts, self._unwritten = self._unwritten, Counts()
        completed_at, self._completed_at = self._completed_at, None
        if counts == Counts():
            return
        now = time.monotonic()
        ago = completed_at and (now - completed_at[0], now - completed_at[1])
        try:
            await self._store.add_to_minute(counts, completed_seconds_ago=ago)
        except BaseException:
            # Next time, with what comes until then.
            self._unwritten = self._unwritten.plus(counts)
            self._completed_at = _spanning(completed_at, self._completed_at)
            raise

    @property
    def held(self) -> list[Push]:
        """What waits to be written: its leases have to be kept alive."""
        return [settlement.push for settlement, _ in self._outcomes]

    def _next_batch(self) -> tuple[Outcomes, Outcomes]:
        """The first ones, each order once, and what of them has to wait for the next batch.

        A claim that was lost while its push was in flight may end beside a newer one of its order;
        the statement finds a row's claim by the row's id, and takes one of them at a time.
        """
        batch: Outcomes = []
        again: Outcomes = []
        orders: set[tuple[str, str]] = set()
        for each in self._outcomes[:SETTLE_LIMIT]:
            push = each[0].push
            order = push.token_id, push.order_id
            (again if order in orders else batch).append(each)
            orders.add(order)
        return batch, again

    async def _write(self, batch: list[Settlement]) -> Settled:
        try:
            return await self._store.settle(batch)
        except StocksyncError:
            # Not these outcomes' fault: they wait.
            raise
        except Exception:
            if len(batch) == 1:
                # A bug: written never, so its lease runs out and its order is pushed again.
                log.exception("relay.cannot_settle", order_id=batch[0].push.order_id)
                return Settled()
            # One of them holds up all others: find it.
            settled = Settled()
            for each in batch:
                settled = settled.plus(await self._write([each]))
            return settled

    def _count_pushes(self) -> None:
        pushes, self._pushes = self._pushes, []
        if not pushes:
            return
        attempts = [each for each in pushes if not each.push.is_probe]
        self._unwritten = self._unwritten.plus(
            Counts(
                attempts=len(attempts),
                unproven=sum(not each.is_proven for each in attempts),
                orders_pushed=sum(each.is_proven for each in pushes),
                push_ms=sum(each.duration_ms for each in attempts),
                slowest_push_ms=max((each.duration_ms for each in attempts), default=0),
            )
        )

    def _count_rows(self, settled: Settled) -> None:
        if settled.completed_ages:
            now = time.monotonic()
            self._completed_at = _spanning(self._completed_at, (now, now))
        self._unwritten = self._unwritten.plus(
            Counts(
                rows_completed=len(settled.completed_ages),
                rows_first_try=settled.first_tries,
                retried_seconds=settled.retried_seconds,
                rows_failed=len(settled.given_up),
                row_retries=settled.row_retries,
            )
        )

    def _tell_push(self, settlement: Settlement, outcome: Outcome) -> None:
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
        log.info(
            "relay.not_proven",
            order_id=settlement.push.order_id,
            token_id=settlement.push.token_id,
            http_status=outcome.http_status,
            reason=outcome.reason,
        )

    def _tell_rows(self, settled: Settled, batch: Sequence[tuple[Settlement, Seen | None]]) -> None:
        log.debug("relay.settled", orders=len(batch))
        if settled.lost:
            self.tally.lost += len(settled.lost)
            log.warning("relay.lost_leases", rows=len(settled.lost))
        for settlement, _ in batch if settled.given_up else ():
            failed = [row for row in settlement.rows if row.id in settled.given_up]
            if failed:
                log.warning(
                    "relay.failed",
                    order_id=settlement.push.order_id,
                    token_id=settlement.push.token_id,
                    rows=len(failed),
                    reason=failed[0].error,
                )


def _moves_on(settlement: Settlement, settled: Settled) -> bool:
    """Whether it shows that rows get on: a failed probe, a locked and a lost row do not."""
    if settlement.push.is_probe and not settlement.is_proven:
        return False
    untouched = settled.blocked | settled.lost
    return not settlement.rows or any(row.id not in untouched for row in settlement.rows)


def _spanning(earlier: Span | None, later: Span | None) -> Span | None:
    if earlier is None or later is None:
        return earlier or later
    return earlier[0], later[1]


def _left(settlement: Settlement, blocked: frozenset[UUID]) -> Settlement:
    """What is still to be written of it: the order's part is done, these rows are not."""
    return replace(
        settlement,
        rows=tuple(row for row in settlement.rows if row.id in blocked),
        push=replace(settlement.push, is_order_claimed=False, failed_ids=()),
        is_ambiguous=False,
    )
