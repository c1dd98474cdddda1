"""Loop: one thing done again and again, woken early, backing off on errors, stopped in order."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable

from stocksync.backoff import Backoff
from stocksync.model import DatabaseUnavailable, StocksyncError
from stocksync.telemetry import get_logger

log = get_logger()

UNTIL_WOKEN = math.inf
"""What a tick returns that has nothing to do until somebody wakes it."""

# Nobody says when the database is back: to look every other second costs it nothing, and a rest
# that had grown longer would be time in which rows wait for us alone.
_UNTIL_DATABASE = Backoff(initial_seconds=0.1, max_seconds=2)


class Loop:
    """Calls `tick` until stopped; `tick` gives the seconds to rest before the next one.

    A tick that raises is an error of its surroundings or a bug: the loop says so, rests longer
    each time (not to be woken early: whatever failed needs the rest), and goes on. Other loops are
    not touched. `backoff` is for all errors but a database that is away, which is in use again
    within two seconds of its return, however long it was away.
    """

    def __init__(
        self, name: str, tick: Callable[[], Awaitable[float]], *, backoff: Backoff | None = None
    ) -> None:
        self.name = name
        self._tick = tick
        self._backoff = backoff or Backoff(initial_seconds=0.25, max_seconds=15)
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()
        self._ticking_since: float | None = None

    @property
    def tick_seconds(self) -> float:
        """How long the present tick has taken so far; 0: it rests."""
        return 0.0 if self._ticking_since is None else time.monotonic() - self._ticking_since

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
            self._ticking_since = time.monotonic()
            try:
                rest_seconds = await self._ticked()
                failures = 0
            except Exception as error:  # noqa: BLE001 - a loop must outlive a bug, which is logged
                self._ticking_since = None
                failures += 1
                self._tell(error)
                await _rest(self._stopping, self._after(error, failures))
            else:
                self._ticking_since = None
                await _rest(self._woken, rest_seconds)

    async def _ticked(self) -> float:
        try:
            return await self._tick()
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Nobody cancelled us: a library let it out of something of its own.
            raise RuntimeError("cancelled from within") from error

    def _after(self, error: Exception, failures: int) -> float:
        is_away = isinstance(error, DatabaseUnavailable)
        return (_UNTIL_DATABASE if is_away else self._backoff).delay_seconds(failures)

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
