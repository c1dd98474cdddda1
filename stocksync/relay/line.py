"""The line: orders that this daemon has claimed, waiting for a slot, under leases kept alive."""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from stocksync.model import Push


@dataclass(slots=True, kw_only=True, eq=False)
class Held:
    """A push that waits, under a lease that is renewed meanwhile."""

    push: Push
    lease_until: float
    """By the monotonic clock, in seconds."""


class Line:
    """First in, first out; closed once, when the daemon stops. `on_half_empty` asks for more."""

    def __init__(self, *, on_half_empty: Callable[[], None]) -> None:
        self._on_half_empty = on_half_empty
        self._waiting: deque[Held] = deque()
        self._changed = asyncio.Event()
        self._is_closed = False
        self.left = 0
        """How many were let out so far."""
        self.target = 1
        """How many shall wait, at the most."""

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def add(self, pushes: Iterable[Push], *, lease_until: float) -> None:
        """Let these wait behind the others."""
        self._waiting.extend(Held(push=push, lease_until=lease_until) for push in pushes)
        self._changed.set()

    async def next(self, may_take: Callable[[], bool]) -> Held | None:
        """The first, as soon as there is one and the caller may take it; None: it is closed."""
        while not self._is_closed and not (self._waiting and may_take()):
            self._changed.clear()
            await self._changed.wait()
        if self._is_closed:
            return None
        held = self._waiting.popleft()
        self.left += 1
        if 2 * len(self._waiting) <= self.target:
            self._on_half_empty()
        return held

    def aging(self, *, before: float) -> list[Held]:
        """Those whose lease ends before this."""
        return [held for held in self._waiting if held.lease_until < before]

    def drop(self, lost: Collection[Held]) -> None:
        """Forget these: their lease is lost. Who has left the line meanwhile is none of its."""
        self._waiting = deque(held for held in self._waiting if held not in lost)

    def take_out(self, *, account: str | None = None) -> list[Push]:
        """Take out all that wait, or all of one account."""
        out = [h.push for h in self._waiting if account in (None, h.push.token_id)]
        self._waiting = deque(h for h in self._waiting if account not in (None, h.push.token_id))
        return out

    def close(self) -> None:
        """Let nobody out any more."""
        self._is_closed = True
        self._changed.set()

    def poke(self) -> None:
        """Somebody may take who might not before."""
        self._changed.set()
