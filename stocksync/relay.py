"""Relay: claim due orders, push them, settle what came of it."""

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass
from typing import Protocol, assert_never

from stocksync.loop import UNTIL_WOKEN, Loop
from stocksync.model import Cause, DatabaseUnavailable, Done, Outcome, Push, Refused, Retry, Status
from stocksync.settlement import Rules, Settlement
from stocksync.store import Claim, Place, Store
from stocksync.telemetry import get_logger

log = get_logger()

# Claims wait in line for a quarter of a second at the service's pace: enough that no slot runs dry
# during a claim (some 10 ms), little enough that another account's fresh row is soon in front.
AHEAD_SECONDS = 0.25
# After it asked to be woken, the relay looks again at widening distances: 5 ms, 20 ms, 80 ms …
FIRST_LOOK_SECONDS = 0.005
LOOK_WIDENING = 4
# While more is waiting, outcomes gather this long: one statement settles some ten orders at once.
GATHER_SECONDS = 0.01
SETTLE_LIMIT = 500
RESCUE_SECONDS = 5.0
# To settle the last outcomes when the daemon stops; a database that is away is not waited for.
LAST_WORDS_SECONDS = 5.0


class Pusher(Protocol):
    """Tells the microservice an order's flag (`gateway.Gateway`)."""

    async def push(self, push: Push) -> Outcome:
        """What came of it; what an answer can be is never an exception."""


class Bell(Protocol):
    """Wakes the relay for rows that arrive (`listener.Listener`)."""

    async def want_wake(self, *, is_wanted: bool) -> None:
        """Ask the order system's transactions to notify us, or, while busy, not to."""


@dataclass(slots=True, kw_only=True, eq=False)
class Held:
    """A push that waits for a slot, under a lease that is renewed meanwhile."""

    push: Push
    claimed_at: float
    lease_until: float


@dataclass(slots=True, kw_only=True)
class Tally:
    """What was settled since the daemon started, in orders (lost: in rows)."""

    proven: int = 0
    retried: int = 0
    refused: int = 0
    lost: int = 0


class Relay:
    """Keeps `concurrency` slots busy with due orders.

    Waiting orders stay renewed, a push begins only with a whole `timeout_seconds` of its lease
    left, and a slot that frees up takes the next order at once, whatever its neighbours do.
    Without a `bell`, rows are found by the poll alone.
    """

    def __init__(
        self,
        *,
        store: Store,
        pusher: Pusher,
        rules: Rules,
        bell: Bell | None,
        concurrency: int,
        claim_batch_size: int,
        lease_seconds: float,
        timeout_seconds: float,
        poll_interval_seconds: float,
    ) -> None:
        self._store = store
        self._pusher = pusher
        self._rules = rules
        self._bell = bell
        self._concurrency = concurrency
        self._claim_batch_size = claim_batch_size
        self._lease_seconds = lease_seconds
        self._timeout_seconds = timeout_seconds
        self._poll_interval_seconds = poll_interval_seconds

        self._claiming = Loop("claim", self.claim)
        self._settling = Loop("settle", self.settle)
        self._keeping = Loop("keep", self.keep)

        self._place = Place()
        self._looked_everywhere_at = 0.0
        self._ahead = min(concurrency, claim_batch_size)
        self._longest_wait_seconds = 0.0
        self._is_behind = True
        self._look_seconds = FIRST_LOOK_SECONDS

        self._waiting: deque[Held] = deque()
        self._has_waiting = asyncio.Event()
        self._is_draining = False
        self._late: list[Push] = []
        self._outcomes: list[Settlement] = []
        self._one_settle = asyncio.Lock()
        self._claimer: asyncio.Task[None]
        self._slots: list[asyncio.Task[None]]
        self.in_flight = 0
        self.tally = Tally()
        self.settled_at: float | None = None
        """When something was last settled, by the monotonic clock."""

    def wake(self) -> None:
        """Rows may be due: look at once."""
        self._claiming.wake()

    async def run(self) -> None:
        """Claim, push and settle until `drain` has ended."""
        async with asyncio.TaskGroup() as group:
            self._claimer = group.create_task(self._claiming.run(), name="claim")
            self._slots = [
                group.create_task(self._work(), name=f"slot {n}") for n in range(self._concurrency)
            ]
            group.create_task(self._settling.run(), name="settle")
            group.create_task(self._keeping.run(), name="keep")

    async def drain(self, *, grace_seconds: float) -> None:
        """Stop claiming, let what is in flight end within the grace, settle, give back the rest."""
        log.info("relay.draining", in_flight=self.in_flight, waiting=len(self._waiting))
        self._claiming.stop()
        self._is_draining = True
        self._has_waiting.set()
        _, unfinished = await asyncio.wait(
            [self._claimer, *self._slots], timeout=max(0, grace_seconds)
        )
        for each in unfinished:
            each.cancel()
        if unfinished:
            log.warning("relay.interrupted", pushes=self.in_flight)
            await asyncio.wait(unfinished)
        self._keeping.stop()
        try:
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                await self._finish()
        except (TimeoutError, DatabaseUnavailable) as error:
            # Their leases run out, and another daemon takes them as ambiguous.
            log.warning("relay.left_unsettled", orders=len(self._outcomes), reason=str(error))
        self._settling.stop()

    async def _finish(self) -> None:
        while self._outcomes:
            await self.settle()
        rest = [held.push for held in self._waiting] + self._late
        if rest:
            await self._store.release(rest)
            log.info("relay.released", orders=len(rest))

    # --- claim -----------------------------------------------------------------------------------

    async def claim(self) -> float:
        """Claim as many due orders as are soon pushed; gives the seconds until the next look."""
        room = self._ahead - len(self._waiting)
        if 2 * room < self._ahead:
            return UNTIL_WOKEN
        now = time.monotonic()
        if now - self._looked_everywhere_at >= self._poll_interval_seconds:
            self._place = Place(after=self._place.after)
        is_everywhere = not self._place.heads
        claim = await self._store.claim(
            limit=room, lease_seconds=self._lease_seconds, place=self._place
        )
        if is_everywhere:
            self._looked_everywhere_at = now
        self._take(claim, claimed_at=now)
        if len(claim.pushes) >= room:
            return await self._go_on(claim)
        if not is_everywhere:
            # Short on its known places: something may be due elsewhere.
            self._place = Place()
            return 0
        self._place = Place(after=claim.next_place.after)
        return await self._look_later()

    def _take(self, claim: Claim, *, claimed_at: float) -> None:
        self._waiting.extend(
            Held(push=push, claimed_at=claimed_at, lease_until=claim.lease_until)
            for push in claim.pushes
        )
        if claim.pushes:
            self._has_waiting.set()

    async def _go_on(self, claim: Claim) -> float:
        """The claim was full: more is due."""
        self._place = claim.next_place
        if self._longest_wait_seconds > AHEAD_SECONDS:
            self._ahead = max(self._ahead // 2, min(self._concurrency, self._claim_batch_size))
        elif self._longest_wait_seconds < AHEAD_SECONDS / 2:
            self._ahead = min(self._ahead * 2, self._claim_batch_size)
        self._longest_wait_seconds = 0.0
        if not self._is_behind:
            self._is_behind = True
            await self._ask_for_wake(is_wanted=False)
        return 0

    async def _look_later(self) -> float:
        """The claim came back short: nothing more is due now."""
        if self._is_behind:
            self._is_behind = False
            await self._ask_for_wake(is_wanted=True)
            self._look_seconds = FIRST_LOOK_SECONDS
            # Committed between the claim and the wish: nobody would wake us for it.
            return 0
        rest_seconds = min(self._look_seconds, self._poll_interval_seconds)
        self._look_seconds = min(
            self._look_seconds * LOOK_WIDENING, float(self._poll_interval_seconds)
        )
        return rest_seconds

    async def _ask_for_wake(self, *, is_wanted: bool) -> None:
        if self._bell is not None:
            await self._bell.want_wake(is_wanted=is_wanted)

    # --- push ------------------------------------------------------------------------------------

    async def _work(self) -> None:
        """One slot: takes the next waiting push as soon as it has ended one."""
        while (held := await self._next()) is not None:
            now = time.monotonic()
            if held.lease_until - now < self._timeout_seconds:
                self._late.append(held.push)
                self._keeping.wake()
                continue
            self._longest_wait_seconds = max(self._longest_wait_seconds, now - held.claimed_at)
            await self._push(held.push)

    async def _next(self) -> Held | None:
        while not self._waiting or self._is_draining:
            if self._is_draining:
                return None
            self._has_waiting.clear()
            await self._has_waiting.wait()
        held = self._waiting.popleft()
        if 2 * len(self._waiting) <= self._ahead:
            self._claiming.wake()
        return held

    async def _push(self, push: Push) -> None:
        started_at = time.monotonic()
        self.in_flight += 1
        try:
            outcome = await self._pusher.push(push)
        except asyncio.CancelledError:
            self._outcomes.append(self._rules.interrupted(push, duration_ms=_ms_since(started_at)))
            raise
        except Exception as error:
            # One order's bug must not take the slot away from the others.
            log.exception("relay.bug", order_id=push.order_id, token_id=push.token_id)
            outcome = Retry(
                reason=f"an error in stocksync itself: {type(error).__name__}",
                cause=Cause.OPERATION,
                is_ambiguous=True,
            )
        finally:
            self.in_flight -= 1
        settlement = self._rules.settlement(push, outcome, duration_ms=_ms_since(started_at))
        self._count(settlement, outcome)
        self._outcomes.append(settlement)
        self._settling.wake()

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

    # --- settle ----------------------------------------------------------------------------------

    async def settle(self) -> float:
        """Settle the outcomes at hand; what cannot be written now is kept and tried again."""
        if self._waiting and len(self._outcomes) < SETTLE_LIMIT:
            await asyncio.sleep(GATHER_SECONDS)
        async with self._one_settle:
            batch = self._outcomes[:SETTLE_LIMIT]
            if not batch:
                return UNTIL_WOKEN
            lost = await self._store.settle(batch)
            del self._outcomes[: len(batch)]
        self.settled_at = time.monotonic()
        log.debug("relay.settled", orders=len(batch))
        if lost:
            self.tally.lost += lost
            log.warning("relay.lost_leases", rows=lost)
        # Rows that arrived for these orders meanwhile may be claimed now.
        self.wake()
        return 0

    # --- keep ------------------------------------------------------------------------------------

    async def keep(self) -> float:
        """Renew the leases of what waits, give back what came too late, rescue what others left."""
        late, self._late = self._late, []
        if late:
            log.warning("relay.too_late_to_push", orders=len(late))
            await self._store.release(late)
            self.wake()
        await self._renew()
        rescued = await self._store.rescue()
        if rescued.row_count or rescued.order_count:
            log.warning("relay.rescued", rows=rescued.row_count, orders=rescued.order_count)
            self.wake()
        return min(RESCUE_SECONDS, self._lease_seconds / 8)

    async def _renew(self) -> None:
        now = time.monotonic()
        aging = [h for h in self._waiting if h.lease_until - now < self._lease_seconds / 2]
        if not aging:
            return
        held = await self._store.renew([h.push for h in aging], lease_seconds=self._lease_seconds)
        still_held = {id(push) for push in held}
        for each in aging:
            if id(each.push) in still_held:
                each.lease_until = now + self._lease_seconds
            elif each in self._waiting:
                self._waiting.remove(each)


def _ms_since(started_at: float) -> int:
    return round((time.monotonic() - started_at) * 1000)
