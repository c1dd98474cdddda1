"""Watchdog: systemd hears that we get on, as long as every loop does."""

from collections.abc import Sequence

from stocksync.loop import Loop
from stocksync.systemd import Notifier
from stocksync.telemetry import get_logger

log = get_logger()

# All that a tick waits for has a deadline, ten seconds for the most part: this one is stuck.
STUCK_SECONDS = 90.0


class Watchdog:
    """Feeds systemd's watchdog by real progress.

    A loop that rests, or that fails again and again because the database is away, gets on; one
    whose tick does not end is stuck. A process that does not come round to this at all is, too.
    """

    def __init__(self, *, notifier: Notifier, loops: Sequence[Loop]) -> None:
        self._notifier = notifier
        self._watched = loops
        self._is_stuck = False
        self.loops = [] if notifier.watchdog_seconds is None else [Loop("watchdog", self.tick)]

    async def tick(self) -> float:
        """Feed, or say who is stuck."""
        stuck = [loop.name for loop in self._watched if loop.tick_seconds > STUCK_SECONDS]
        if stuck and not self._is_stuck:
            log.error("daemon.stuck", loops=stuck)
        self._is_stuck = bool(stuck)
        if not stuck:
            self._notifier.watchdog()
        # systemd's own advice is half of it; a busy moment may double that.
        return (self._notifier.watchdog_seconds or STUCK_SECONDS) / 4
