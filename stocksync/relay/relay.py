"""The relay itself: a claiming loop, a settling loop, a keeping loop, and slots that push."""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

from stocksync.backoff import Backoff
from stocksync.circuits import Circuits
from stocksync.database import describe
from stocksync.loop import Loop
from stocksync.model import Cause, Done, Outcome, Push, Retry
from stocksync.relay.claiming import Bell, Claiming
from stocksync.relay.line import Line
from stocksync.relay.metering import Meter, Uncounted
from stocksync.relay.pace import Pace
from stocksync.relay.ramp import Ramp
from stocksync.relay.settling import BLOCKED_SECONDS, Settling, Tally
from stocksync.relay.watching import HealthSaid, Watching
from stocksync.settlement import Rules
from stocksync.store import RESCUE_LIMIT, Store
from stocksync.telemetry import get_logger

log = get_logger()

# An expired lease is found within this time, or within an eighth of the lease if that is shorter.
KEEP_SECONDS = 5.0
# To settle the last outcomes when the daemon stops; a database that is away is not waited for.
LAST_WORDS_SECONDS = 3.0
# A push begins only with a whole timeout of its lease left, and something to settle it in.
LEASE_MARGIN = 1.1


class Pusher(Protocol):
    """The microservice (`gateway.Gateway`)."""

    async def push(self, push: Push) -> Outcome:
        """Tell it an order's flag; what an answer can be is never an exception."""

    async def health(self) -> HealthSaid:
        """Ask it how it is; never raises for what it says or does not."""


class Relay:
    """Keeps `concurrency` slots busy with due orders.

    Waiting orders stay renewed, a push begins only with a whole `timeout_seconds` of its lease
    left, and a slot that frees up takes the next order at once, whatever its neighbours do.
    """

    def __init__(
        self,
        *,
        store: Store,
        pusher: Pusher,
        rules: Rules,
        circuits: Circuits,
        bell: Bell | None,
        meter: Meter | None = None,
        concurrency: int,
        claim_batch_size: int,
        lease_seconds: float,
        timeout_seconds: float,
        poll_interval_seconds: float,
    ) -> None:
        self._store = store
        self._pusher = pusher
        self._rules = rules
        self._concurrency = concurrency
        self._lease_seconds = lease_seconds
        self._timeout_seconds = timeout_seconds
        meter = meter or Uncounted()

        self._line = Line(on_half_empty=self.wake)
        self._ramp = Ramp(most=concurrency, failures=circuits.failures, on_step=self._line.poke)
        self._pace = Pace(most=concurrency, on_step=self._line.poke)
        self._watching = Watching(
            circuits=circuits,
            line=self._line,
            ramp=self._ramp,
            ask_health=pusher.health,
            release=self._give_back,
            on_doubt=self._ask_health,
        )
        self._claiming = Claiming(
            store=store,
            line=self._line,
            on_held=self._watching.hold,
            is_full=lambda: self._settling.is_full,
            bell=bell,
            meter=meter,
            fewest=concurrency,
            most=claim_batch_size,
            lease_seconds=lease_seconds,
            poll_interval_seconds=poll_interval_seconds,
        )
        self._settling = Settling(
            store=store, line=self._line, on_settled=self._watching.told, meter=meter
        )
        self._claim_loop = Loop("claim", self._claiming.tick)
        self._settle_loop = Loop(
            # Outcomes hold leases: they are not let wait as long as other work.
            "settle",
            self._settle,
            backoff=Backoff(initial_seconds=0.1, max_seconds=2),
        )
        self._keep_loop = Loop("keep", self.keep)
        self._health_loop = Loop("health", self._watching.tick)
        self._late: list[Push] = []
        self._workers: list[asyncio.Task[None]] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._asking: asyncio.Task[None]
        self._hang_timer: asyncio.TimerHandle | None = None
        self.in_flight = 0

    @property
    def tally(self) -> Tally:
        """What came of pushes so far."""
        return self._settling.tally

    @property
    def loops(self) -> list[Loop]:
        """All that must get on."""
        return [self._claim_loop, self._settle_loop, self._keep_loop]

    @property
    def has_claimed(self) -> bool:
        """It has looked for due orders, and the database answered."""
        return self._claiming.has_claimed

    @property
    def limit(self) -> int:
        """Pushes at once that the service can do with, as found out so far."""
        return self._pace.limit

    @property
    def settled_at(self) -> float | None:
        """When something was last settled, by the monotonic clock."""
        return self._settling.settled_at

    async def flush(self) -> None:
        """Add what was done since the last time to the sums per minute, over all daemons."""
        await self._settling.flush()

    def wake(self) -> None:
        """Rows may be due: look at once."""
        self._claim_loop.wake()

    def _ask_health(self) -> None:
        self._health_loop.wake()

    async def run(self) -> None:
        """Claim, push and settle until `drain` has ended."""
        async with asyncio.TaskGroup() as group:
            self._workers = [group.create_task(self._claim_loop.run(), name="claim")]
            self._workers += [
                group.create_task(self._work(n), name=f"slot {n}") for n in range(self._concurrency)
            ]
            self._keepers = [
                group.create_task(self._settle_loop.run(), name="settle"),
                group.create_task(self._keep_loop.run(), name="keep"),
            ]
            self._asking = group.create_task(self._health_loop.run(), name="health")

    async def drain(self, *, grace_seconds: float) -> None:
        """Stop claiming, let what is in flight end within the grace, settle, give back the rest."""
        log.info("relay.draining", in_flight=self.in_flight, waiting=len(self._line))
        self._claim_loop.stop()
        self._line.close()
        # A question to the service: nothing of it has to be finished.
        self._asking.cancel()
        _, unfinished = await asyncio.wait(self._workers, timeout=max(0, grace_seconds))
        if unfinished:
            log.warning("relay.interrupted", pushes=self.in_flight)
            for each in unfinished:
                each.cancel()
            # A frozen database holds up the cancelling of a claim, too.
            await asyncio.wait(unfinished, timeout=LAST_WORDS_SECONDS)
        self._keep_loop.stop()
        # One of the two failing shall not take the other away. What is left behind loses its lease,
        # and another daemon takes it as ambiguous.
        await self._try_to_end(self._release_rest(), "relay.left_unreleased")
        await self._try_to_end(self._finish(), "relay.left_unsettled")
        self._settle_loop.stop()
        _, stuck = await asyncio.wait(self._keepers, timeout=LAST_WORDS_SECONDS)
        for each in stuck:
            # In a statement that the database does not answer.
            each.cancel()

    async def _try_to_end(self, step: Coroutine[Any, Any, None], failure: str) -> None:
        try:
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                await step
        except Exception as error:  # noqa: BLE001 - the daemon stops, whatever it is
            log.warning(failure, unsettled=len(self._settling), reason=describe(error))

    async def _finish(self) -> None:
        while len(self._settling):
            if await self._settling.settle():
                await asyncio.sleep(BLOCKED_SECONDS)

    async def _release_rest(self) -> None:
        rest = self._line.take_out() + self._late
        if rest:
            await self._store.release(rest)
            log.info("relay.released", orders=len(rest))

    # --- push ------------------------------------------------------------------------------------

    async def _work(self, slot: int) -> None:
        """One slot: takes the next waiting push as soon as it has ended one."""
        while (held := await self._line.next(lambda: self._admits(slot))) is not None:
            if held.lease_until - time.monotonic() < LEASE_MARGIN * self._timeout_seconds:
                log.warning("relay.too_late_to_push", order_id=held.push.order_id)
                await self._give_back([held.push])
            else:
                await self._push(held.push)

    def _admits(self, slot: int) -> bool:
        return self._ramp.admits(slot) and self._pace.admits()

    async def _push(self, push: Push) -> None:
        started_at = time.monotonic()
        self.in_flight += 1
        going = self._pace.begin(started_at)
        self._look_for_hanging_soon()
        is_proven = False
        try:
            outcome = await self._pusher.push(push)
            is_proven = isinstance(outcome, Done)
        except asyncio.CancelledError:
            self._settling.add(self._rules.interrupted(push, duration_ms=_ms_since(started_at)))
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
            self._pace.end(going, is_proven=is_proven, now=time.monotonic())
        settlement = self._rules.settlement(push, outcome, duration_ms=_ms_since(started_at))
        self._ramp.count(is_proven=settlement.is_proven)
        self._settling.add(settlement, outcome)
        self._settle_loop.wake()

    def _look_for_hanging_soon(self) -> None:
        # One timer for all: to set and to cancel one for each push would cost more than its pace.
        timer, loop = self._hang_timer, asyncio.get_running_loop()
        if timer is None or timer.when() > loop.time() + self._pace.patience_seconds:
            if timer is not None:  # set when patience was longer
                timer.cancel()
            self._look_for_hanging()

    def _look_for_hanging(self) -> None:
        rest_seconds = self._pace.excuse_late(time.monotonic())
        self._hang_timer = (
            None
            if rest_seconds is None
            else asyncio.get_running_loop().call_later(rest_seconds, self._look_for_hanging)
        )

    async def _settle(self) -> float:
        rest_seconds = await self._settling.tick()
        # Rows that arrived for these orders meanwhile may be claimed now.
        self.wake()
        return rest_seconds

    # --- keep ------------------------------------------------------------------------------------

    async def keep(self) -> float:
        """Renew the leases of what waits, give back what came too late, rescue what others left."""
        await self._renew()
        await self._give_back_late()
        rescued = await self._store.rescue()
        if rescued.row_count or rescued.order_count:
            log.warning("relay.rescued", rows=rescued.row_count, orders=rescued.order_count)
            self.wake()
        if rescued.row_count >= RESCUE_LIMIT:
            return 0
        return min(KEEP_SECONDS, self._lease_seconds / 8)

    async def _renew(self) -> None:
        now = time.monotonic()
        # Well before a push may not begin any more.
        aging = self._line.aging(before=now + (self._lease_seconds + self._timeout_seconds) / 2)
        unwritten = self._settling.held
        if not aging and not unwritten:
            return
        kept = await self._store.renew(
            [held.push for held in aging] + unwritten, lease_seconds=self._lease_seconds
        )
        still_held = {id(push) for push in kept}
        for held in aging:
            if id(held.push) in still_held:
                held.lease_until = now + self._lease_seconds
        self._line.drop({held for held in aging if id(held.push) not in still_held})

    async def _give_back(self, pushes: Sequence[Push]) -> None:
        # By the keeping loop, which tries again if the database is away.
        self._late.extend(pushes)
        self._keep_loop.wake()

    async def _give_back_late(self) -> None:
        late = list(self._late)
        if late:
            await self._store.release(late)
            del self._late[: len(late)]
            self.wake()


def _ms_since(started_at: float) -> int:
    return round((time.monotonic() - started_at) * 1000)
