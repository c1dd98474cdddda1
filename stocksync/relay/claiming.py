"""Claiming: when to look for due orders, where to begin, and how many to take."""

import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from stocksync.loop import UNTIL_WOKEN
from stocksync.relay.line import Line
from stocksync.relay.metering import Meter
from stocksync.store import Claim, Place, Store

# Claims wait in line for a quarter of a second at the service's pace: enough that no slot runs dry
# during a claim (some 10 ms), little enough that another account's fresh row is soon in front.
AHEAD_SECONDS = 0.25
# A line that was short of what the service can do grows so many times, then looks again.
MOST_GROWTH = 8
# After it asked to be woken, the daemon looks again at widening distances: 5 ms, 20 ms, 80 ms …
FIRST_LOOK_SECONDS = 0.005
LOOK_WIDENING = 4
# In a backlog, accounts that had nothing due before are looked for at least this often.
EVERYWHERE_SECONDS = 0.5


class Bell(Protocol):
    """Wakes the relay for rows that arrive (`listener.Listener`)."""

    async def want_wake(self, *, is_wanted: bool) -> None:
        """Ask the order system's transactions to notify us, or, while busy, not to."""


class Claiming:
    """Keeps the line filled for the next moment, whatever the service's pace.

    Without a `bell`, rows are found by the poll alone.
    """

    def __init__(
        self,
        *,
        store: Store,
        line: Line,
        on_held: Callable[[], Awaitable[None]],
        is_full: Callable[[], bool],
        bell: Bell | None,
        meter: Meter,
        fewest: int,
        most: int,
        lease_seconds: float,
        poll_interval_seconds: float,
    ) -> None:
        self._store = store
        self._line = line
        self._on_held = on_held
        self._is_full = is_full
        self._bell = bell
        self._meter = meter
        self._fewest = min(fewest, most)
        self._most = most
        self._lease_seconds = lease_seconds
        self._poll_interval_seconds = poll_interval_seconds

        self._place = Place()
        self._looked_everywhere_at = 0.0
        self._is_behind = True
        self._look_seconds = FIRST_LOOK_SECONDS
        self._left_before, self._measured_at = 0, 0.0
        self.has_claimed = False
        """The first claim was made, whatever it took."""
        line.target = self._fewest

    async def tick(self) -> float:
        """Claim as many due orders as are soon pushed; gives the seconds until the next look."""
        room = min(self._line.target - len(self._line), self._most)
        if 2 * room < self._line.target or self._is_full():
            return UNTIL_WOKEN
        now = time.monotonic()
        if now - self._looked_everywhere_at >= min(self._poll_interval_seconds, EVERYWHERE_SECONDS):
            self._place = Place(after=self._place.after)
        if not self.has_claimed:
            self._measure_from(now)
        is_everywhere = not self._place.heads
        claim = await self._store.claim(
            limit=room, lease_seconds=self._lease_seconds, place=self._place
        )
        self.has_claimed = True
        self._meter.claimed(len(claim.pushes), seconds=time.monotonic() - now)
        if is_everywhere:
            self._looked_everywhere_at = now
        if claim.is_held:
            # Opened by another daemon, or paused by hand: what waits here waits there.
            await self._on_held()
        has_run_dry = not len(self._line)
        self._line.add(claim.pushes, lease_until=claim.lease_until)
        if len(claim.pushes) >= room:
            return await self._go_on(claim, has_run_dry=has_run_dry)
        self._place = Place(after=claim.next_place.after)
        # Short on its known places: something may be due elsewhere.
        return await self._look_later() if is_everywhere else 0

    async def _go_on(self, claim: Claim, *, has_run_dry: bool) -> float:
        """The claim was full: more is due."""
        self._place = claim.next_place
        if self._is_behind:
            self._adapt(time.monotonic(), has_run_dry=has_run_dry)
        else:
            self._is_behind = True
            self._measure_from(time.monotonic())
            await self._ask_for_wake(is_wanted=False)
        return 0

    def _adapt(self, now: float, *, has_run_dry: bool) -> None:
        """Let as many wait as were let out in AHEAD_SECONDS, by what was seen lately."""
        left = self._line.left - self._left_before
        # Fewer say nothing, least of all that the service is quick.
        if left < self._fewest:
            return
        wanted = int(AHEAD_SECONDS * left / max(now - self._measured_at, 0.001))
        if has_run_dry:
            # It was us who were slow, not the service.
            wanted = max(wanted, 2 * self._line.target)
        # At most two claims: one is pushed while the next is made.
        most = min(MOST_GROWTH * self._line.target, 2 * self._most)
        self._line.target = max(self._fewest, min(wanted, most))
        self._measure_from(now)

    def _measure_from(self, now: float) -> None:
        self._left_before, self._measured_at = self._line.left, now

    async def _look_later(self) -> float:
        """The claim came back short: nothing more is due now."""
        if self._is_behind:
            self._is_behind = False
            await self._ask_for_wake(is_wanted=True)
            self._look_seconds = FIRST_LOOK_SECONDS
            # Committed between the claim and the wish: nobody would wake us for it.
            return 0
        # A transaction that found nobody to wake may commit yet (see the insert trigger).
        rest_seconds = min(self._look_seconds, self._poll_interval_seconds)
        self._look_seconds = min(
            self._look_seconds * LOOK_WIDENING, float(self._poll_interval_seconds)
        )
        return rest_seconds

    async def _ask_for_wake(self, *, is_wanted: bool) -> None:
        if self._bell is not None:
            await self._bell.want_wake(is_wanted=is_wanted)
