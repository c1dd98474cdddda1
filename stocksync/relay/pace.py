"""The pace: as many pushes at once as the service works on, and no more than it can.

A service that answers one request at a time answers eight no sooner: seven of them wait in its
queue, and with them everybody else who asks it something. How many wait there can be told from
outside (TCP Vegas): with b the answer time of a push alone and m that of n at once, n·b/m are
worked on and the rest waits.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

# One or two that wait keep the service busy while our next one is on its way.
FEWEST_WAITING = 1.0
MOST_WAITING = 2.0
# A wait that nobody notices: also our own, when this process is the busy one.
UNNOTICED_SECONDS = 0.005
# The time of a push alone is measured anew so often, by so many; its latest are kept.
ALONE_EVERY_SECONDS = 20.0
ALONE_PUSHES = 3
ALONE_KEPT = 5
# A push that takes longer than two usual ones hangs, and than so long where these are short, or
# nothing is known of them.
SHORTEST_PATIENCE_SECONDS = 0.1
FIRST_PATIENCE_SECONDS = 1.0
# A round is as long as the limit, at least so long.
SHORTEST_ROUND = 4


@dataclass(slots=True, kw_only=True, eq=False)
class Going:
    """A push that is in flight."""

    began_at: float
    is_alone: bool
    """Nothing else is in flight beside it, so far."""
    is_excused: bool = False
    """It hangs: nobody waits for it."""


class Pace:
    """A limit between 1 and `most`; it grows while answers come as fast as to a push alone.

    `on_step`: somebody may go who might not before. Times are of a monotonic clock, in seconds.
    """

    def __init__(self, *, most: int, on_step: Callable[[], None]) -> None:
        self._most = most
        self._on_step = on_step
        self.limit = 1
        """Pushes at once, at most."""
        self.patience_seconds = FIRST_PATIENCE_SECONDS
        """A push that takes longer is to be excused."""
        # The longest going first.
        self._going: dict[Going, None] = {}
        self._has_shrunk = False
        self._round: list[float] = []
        self._alone: deque[float] = deque(maxlen=ALONE_KEPT)
        self._alone_at = -math.inf
        self._alone_left = ALONE_PUSHES

    def admits(self) -> bool:
        """Whether another push may begin."""
        return len(self._going) < (1 if self._alone_left else self.limit)

    def begin(self, now: float) -> Going:
        """A push begins."""
        for other in self._going:
            other.is_alone = False
        going = Going(began_at=now, is_alone=not self._going)
        self._going[going] = None
        return going

    def excuse_late(self, now: float) -> float | None:
        """Go on without those that hang; gives the seconds until another may, None: none goes."""
        for going in list(self._going):
            rest_seconds = going.began_at + self.patience_seconds - now
            if rest_seconds > 0:
                return rest_seconds
            going.is_excused = True
            del self._going[going]
            self._alone_left = 0
            self._on_step()
        return None

    def end(self, going: Going, *, is_proven: bool, now: float) -> None:
        """A push has ended; unless it was proven, its time says nothing."""
        self._going.pop(going, None)
        seconds = now - going.began_at
        if not is_proven:
            if going.is_alone and self._alone_left:
                self._alone_left = 0
                self._on_step()
            return
        if going.is_alone and not going.is_excused:
            self._alone.append(seconds)
            self._alone_at = now
            if self._alone_left:
                self._alone_left -= 1
                self._on_step()
        elif now - self._alone_at > ALONE_EVERY_SECONDS:
            self._alone_left = ALONE_PUSHES
        self._round.append(seconds)
        if len(self._round) >= max(self.limit, SHORTEST_ROUND):
            self._end_round()

    def _end_round(self) -> None:
        # Not the mean: one call that hangs says nothing of the others.
        together, alone = median(self._round), median(self._alone or self._round)
        self._round.clear()
        self.patience_seconds = max(2 * together, SHORTEST_PATIENCE_SECONDS)
        worked_on = self.limit * min(1.0, alone / together) if together else self.limit
        waiting = self.limit - worked_on
        if waiting <= FEWEST_WAITING or together - alone <= UNNOTICED_SECONDS:
            # Quickly at first, then feeling its way.
            self.limit = min(self._most, self.limit + (1 if self._has_shrunk else self.limit))
            self._on_step()
        elif waiting > MOST_WAITING:
            self._has_shrunk = True
            middle = (FEWEST_WAITING + MOST_WAITING) / 2
            self.limit = max(1, min(self.limit - 1, math.ceil(worked_on + middle)))
