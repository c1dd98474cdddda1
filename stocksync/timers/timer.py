"""Timer: has the turns of one timer in one daemon, under leases that it renews meanwhile."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from stocksync.model import StocksyncError
from stocksync.telemetry import get_logger
from stocksync.timers.timers import LOOK_SECONDS, Timers, Turn, until_next_look

log = get_logger()

RENEWALS_IN_A_LEASE = 4
# A stopping daemon does not wait for a turn that does not let go.
LETTING_GO_SECONDS = 1.0
LONGEST_ERROR = 500


class Timer:
    """One timer of one daemon: `Loop(name, timer.tick)`.

    `run` has the turn and gives what it counted, in JSON's types. It is cancelled when the turn is
    lost, and should be able to have it again: a daemon may die before it can note the end.
    """

    def __init__(
        self,
        *,
        timers: Timers,
        name: str,
        interval_seconds: int,
        run: Callable[[Turn], Awaitable[dict[str, Any]]],
        at: str | None = None,
    ) -> None:
        self._timers = timers
        self._name = name
        self._interval_seconds = interval_seconds
        self._run = run
        self._at = at

    async def tick(self) -> float:
        """Have the turn if there is one; the seconds until the next look."""
        look = await self._timers.look(
            self._name, interval_seconds=self._interval_seconds, at=self._at
        )
        if look.turn is None:
            return look.rest_seconds
        return await self._have(look.turn)

    async def _have(self, turn: Turn) -> float:
        running = asyncio.create_task(self._result(turn), name=f"{self._name}'s turn")
        holding = asyncio.create_task(self._hold(turn), name=f"{self._name}'s lease")
        try:
            await asyncio.wait({running, holding}, return_when=asyncio.FIRST_COMPLETED)
            if running.done() and not running.cancelled():
                return await self._end(turn, running)
            if holding.done():
                log.warning("timer.lost", timer=self._name, exc_info=holding.exception())
            await self._break_off(turn, running)
        except asyncio.CancelledError:
            await self._let_go(turn, running)
            raise
        finally:
            holding.cancel()
        return LOOK_SECONDS

    async def _result(self, turn: Turn) -> dict[str, Any]:
        result = await self._run(turn)
        # What cannot be kept is a bug of this turn, to be told like any other.
        json.dumps(result, allow_nan=False)
        return result

    async def _hold(self, turn: Turn) -> None:
        """Renew the lease; ends when the turn is lost."""
        lease_seconds = self._timers.lease_seconds
        now = asyncio.get_running_loop().time
        held_until = now() + lease_seconds
        while now() < held_until:
            await asyncio.sleep(lease_seconds / RENEWALS_IN_A_LEASE)
            asked_at = now()
            try:
                async with asyncio.timeout_at(held_until):
                    if not await self._timers.renew(turn):
                        return
            except (StocksyncError, TimeoutError):
                # While the lease lasts, there is time for another try.
                continue
            held_until = asked_at + lease_seconds

    async def _end(self, turn: Turn, running: asyncio.Task[dict[str, Any]]) -> float:
        if error := running.exception():
            rest_seconds = await self._timers.end(turn, error=self._told(error))
        else:
            rest_seconds = await self._timers.end(turn, result=running.result())
        if rest_seconds is None:
            log.warning("timer.lost", timer=self._name)
            return LOOK_SECONDS
        return until_next_look(rest_seconds)

    def _told(self, error: BaseException) -> str:
        if isinstance(error, StocksyncError):
            log.warning("timer.failed", timer=self._name, reason=str(error))
            return _short(str(error))
        log.error("timer.failed", timer=self._name, exc_info=error)
        return f"a bug, told in the log: {type(error).__name__}"

    async def _break_off(self, turn: Turn, running: asyncio.Task[dict[str, Any]]) -> None:
        """Let somebody else have the turn, unless it ended well in spite of all."""
        running.cancel()
        await asyncio.wait({running})
        # An error after a cancellation is the driver's way to be cancelled.
        if running.cancelled() or running.exception() is not None:
            await self._timers.give_back(turn)
        else:
            await self._end(turn, running)

    async def _let_go(self, turn: Turn, running: asyncio.Task[dict[str, Any]]) -> None:
        """The daemon stops, and does not wait."""
        try:
            async with asyncio.timeout(LETTING_GO_SECONDS):
                await self._break_off(turn, running)
        except (StocksyncError, TimeoutError):
            log.info("timer.left_behind", timer=self._name)


def _short(text: str) -> str:
    # Postgres keeps no NUL in a text.
    return text.replace("\x00", "")[:LONGEST_ERROR]
