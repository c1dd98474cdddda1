"""Pulse: every few seconds, that this daemon lives, and what it did since."""

import dataclasses
import time
from collections.abc import Callable
from uuid import UUID

from stocksync import __version__
from stocksync.database import Database
from stocksync.model import StocksyncError
from stocksync.relay import Relay, Tally
from stocksync.telemetry import get_logger

log = get_logger()

# `status` calls a daemon dead after missing a few of these.
BEAT_SECONDS = 5.0


class Pulse:
    """This daemon's row among the daemons. `is_listening` gives None where it is set to poll."""

    def __init__(
        self,
        *,
        database: Database,
        relay: Relay,
        daemon_id: UUID,
        host: str,
        pid: int,
        is_listening: Callable[[], bool | None],
    ) -> None:
        self._database = database
        self._relay = relay
        self._id = daemon_id
        self._host = host
        self._pid = pid
        self._is_listening = is_listening
        self._told = Tally()

    async def beat(self) -> float:
        """Say that this daemon lives, read the database's clock, and tell what was done since."""
        settled_at = self._relay.settled_at
        epoch_seconds = await self._database.fetchval(
            "beat",
            self._id,
            self._host,
            self._pid,
            __version__,
            self._is_listening(),
            self._relay.in_flight,
            None if settled_at is None else time.monotonic() - settled_at,
        )
        self._database.clock.set(epoch_seconds)
        await self._relay.flush()
        self._tell_progress()
        return BEAT_SECONDS

    async def leave(self) -> None:
        """Take leave: in order, so that nobody takes this daemon for dead."""
        try:
            await self._database.fetch("leave", self._id)
            await self._relay.flush()
        except StocksyncError:
            # Its row says for how long it has not been seen.
            log.debug("daemon.left_unsaid")

    def _tell_progress(self) -> None:
        now, before = dataclasses.asdict(self._relay.tally), dataclasses.asdict(self._told)
        if now != before:
            # Since the last such line.
            log.info("relay.progress", **{name: now[name] - before[name] for name in now})
            self._told = Tally(**now)
