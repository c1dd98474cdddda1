"""Timers: turns that are had once per interval over all daemons, kept in the database."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from stocksync.database import Database
from stocksync.model import NotPossible
from stocksync.telemetry import get_logger
from stocksync.verdict import TimerSeen

log = get_logger()

# A turn is somebody else's so long after its runner died.
LEASE_SECONDS = 60.0
# How soon a turn that is asked for, or that a dead runner left behind, is found.
LOOK_SECONDS = 5.0
# More than anybody waits for: somebody asks in a loop.
MOST_ASKED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One turn of a timer, held under a lease."""

    name: str
    due_at: datetime
    """By the schedule."""
    started_at: datetime
    """By the database's clock."""
    succeeded_at: datetime | None
    """The start of the last turn of everything that ended well; None: there was none."""
    asked_for: dict[str, Any] | None
    """Somebody wanted it at once, of this only ({}: of everything); None: it is the schedule's."""
    asked_by: str | None = None
    run_token: UUID
    """The fence: only who carries it may renew and end the turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a look at a timer gave: its turn, or the seconds until the next look."""

    turn: Turn | None
    rest_seconds: float


class Timers:
    """The timers as all daemons share them. `by` is who has the turns that are taken here.

    Raises `DatabaseUnavailable`.
    """

    def __init__(
        self, *, database: Database, by: str, lease_seconds: float = LEASE_SECONDS
    ) -> None:
        self.lease_seconds = lease_seconds
        self._database = database
        self._by = by
        self._registered: dict[str, tuple[int, str | None]] = {}

    async def take(self, name: str, *, interval_seconds: int, at: str | None = None) -> Turn | None:
        """The timer's turn, if it is due or asked for, and nobody has it.

        The first one is an interval after the first start or, with `at`, at the next "HH:MM" UTC.
        A turn that was held by a runner that died counts as nobody's after its lease.
        """
        return (await self.look(name, interval_seconds=interval_seconds, at=at)).turn

    async def look(self, name: str, *, interval_seconds: int, at: str | None = None) -> Look:
        """Take the turn as `take` does, or learn when to look again."""
        if self._registered.get(name) != (interval_seconds, at):
            await self._database.fetch("timer_register", name, interval_seconds, at)
            self._registered[name] = (interval_seconds, at)
        row = await self._database.fetchrow("timer_take", name, self._by, self.lease_seconds)
        if row is None:
            # Another daemon, with other settings, retired it.
            del self._registered[name]
            return Look(turn=None, rest_seconds=LOOK_SECONDS)
        if row["run_token"] is None:
            return Look(turn=None, rest_seconds=until_next_look(row["due_seconds"]))
        if row["runner_before"] is not None:
            log.warning("timer.taken_over", timer=name, of=row["runner_before"])
        turn = Turn(
            name=name,
            due_at=row["due_at"],
            started_at=row["started_at"],
            succeeded_at=row["succeeded_at"],
            asked_for=None if row["asked_for"] is None else json.loads(row["asked_for"]),
            asked_by=row["asked_by"],
            run_token=row["run_token"],
        )
        return Look(turn=turn, rest_seconds=0)

    async def renew(self, turn: Turn) -> bool:
        """Hold the turn for another lease; False: it is lost."""
        arguments = (turn.name, turn.run_token, self.lease_seconds)
        return await self._database.fetchrow("timer_renew", *arguments) is not None

    async def end(
        self, turn: Turn, *, result: dict[str, Any] | None = None, error: str | None = None
    ) -> float | None:
        """End the turn, well or with an error; the seconds until the next one. None: it is lost.

        After an error the schedule stays where it is: the turn is had again after a minute, or an
        interval if that is shorter. A turn that was asked for is had once, whatever came of it.
        """
        row = await self._database.fetchrow(
            "timer_end",
            turn.name,
            turn.run_token,
            None if result is None else json.dumps(result, ensure_ascii=False, allow_nan=False),
            error,
            turn.asked_for is not None,
            not turn.asked_for,
        )
        return None if row is None else float(row["rest_seconds"])

    async def give_back(self, turn: Turn) -> None:
        """Let another daemon have the turn, as if it had never been taken."""
        await self._database.fetch("timer_give_back", turn.name, turn.run_token)

    async def ask(self, name: str, *, by: str, of: dict[str, Any] | None = None) -> bool:
        """Ask for a turn at once, perhaps of a part only; False: no daemon has such a timer.

        It is followed by other turns that are asked for, in order. The same twice is had once.
        Raises `NotPossible`: too many wait.
        """
        wish = json.dumps(of or {}, ensure_ascii=False)
        has_room = await self._database.fetchval("timer_ask", name, by, wish, MOST_ASKED)
        if has_room is None:
            return False
        if not has_room:
            raise NotPossible(f"{MOST_ASKED} turns of {name} are asked for already")
        await self._database.fetch("wake_timers", self._database.schema)
        return True

    async def retire(self, name: str) -> None:
        """Forget a timer that is switched off: it would be overdue for ever."""
        self._registered.pop(name, None)
        await self._database.fetch("timer_retire", name)

    async def seen(self) -> tuple[TimerSeen, ...]:
        """All timers, by name."""
        rows = [dict(row) for row in await self._database.fetch("timer_seen")]
        for row in rows:
            row["result"] = None if row["result"] is None else json.loads(row["result"])
        return tuple(TimerSeen(**row) for row in rows)


def until_next_look(due_seconds: float) -> float:
    """The seconds to rest when the turn is due in so many."""
    # Due, and not to be had: somebody else has it, or it failed a moment ago.
    return min(due_seconds, LOOK_SECONDS) if due_seconds >= 0 else LOOK_SECONDS
