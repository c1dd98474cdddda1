"""Loop: one thing done again and again, woken early, backing off on errors, stopped in order."""

import asyncio
import math
from collections.abc import Awaitable, Callable

from stocksync.backoff import Backoff
from stocksync.model import DatabaseUnavailable, StocksyncError
from stocksync.telemetry import get_logger

log = get_logger()

UNTIL_WOKEN = math.inf
"""What a tick returns that has nothing to do until somebody wakes it."""


class Loop:
    """Calls `tick` until stopped; `tick` gives the seconds to rest before the next one.

    A tick that raises is an error of its surroundings or a bug: the loop says so, rests longer
    each time (not to be woken early: whatever failed needs the rest), and goes on. Other loops are
    not touched.
    """

    def __init__(
        self, name: str, tick: Callable[[], Awaitable[float]], *, backoff: Backoff | None = None
    ) -> None:
        self.name = name
        self._tick = tick
        self._backoff = backoff or Backoff(initial_seconds=0.25, max_seconds=15)
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()

    def wake(self) -> None:
        """Cut the rest short; a thousand calls are one."""
        self._woken.set()

    def stop(self) -> None:
        """Let the current tick end; there is no next one."""
        self._stopping.set()
        self._woken.set()

    async def run(self) -> None:
        """Tick and rest until `stop`."""
        failures = 0
        while not self._stopping.is_set():
            # Before the tick: what happens during it wakes the rest after it.
            self._woken.clear()
            try:
                rest_seconds = await self._tick()
                failures = 0
            except Exception as error:  # noqa: BLE001 - a loop must outlive a bug, which is logged
                failures += 1
                self._tell(error)
                await _rest(self._stopping, self._backoff.delay_seconds(failures))
            else:
                await _rest(self._woken, rest_seconds)

    def _tell(self, error: Exception) -> None:
        if isinstance(error, DatabaseUnavailable):
            # Said once for all loops, by `database`.
            log.debug("loop.waits_for_database", loop=self.name)
        elif isinstance(error, StocksyncError):
            log.warning("loop.failed", loop=self.name, reason=str(error))
        else:
            log.error("loop.failed", loop=self.name, exc_info=error)


async def _rest(event: asyncio.Event, seconds: float) -> None:
    if event.is_set():
        # Let the others have their turn even when there is always something to do.
        await asyncio.sleep(0)
        return
    try:
        async with asyncio.timeout(None if seconds == UNTIL_WOKEN else seconds):
            await event.wait()
    except TimeoutError:
        return
