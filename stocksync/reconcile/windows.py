"""Windows: when an order is looked at again: soon after it was settled, then ever more rarely."""

from collections.abc import Sequence
from datetime import datetime, timedelta

AGES = (
    timedelta(0),
    *(timedelta(hours=4**n) for n in range(5)),  # 1, 4, 16, 64, 256: as long as rows are kept
)
OVERLAP = timedelta(minutes=1)
"""What was settled just before the last run is looked at once more: it may not have been committed
yet, and the service may have applied something late."""


def windows(since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
    """The times within which orders were settled that are to be looked at now, youngest first.

    `since` is when the last run began, `until` when this one did: so each order is seen once at
    each age, whatever the interval is and however long nobody ran.
    """
    [youngest, *others] = [(min(since, until) - age, until - age) for age in AGES]
    return [(youngest[0] - OVERLAP, youngest[1]), *others]


def shares(room: int, wanted: Sequence[int]) -> list[int]:
    """How many of each window are read when there is no room for all.

    Half of the room is the youngest window's, half of the rest the next one's, and so on; what a
    window does not need goes to the others, the young first.
    """
    taken: list[int] = []
    left = room
    for want in wanted:
        taken.append(min(want, (left + 1) // 2))
        left -= taken[-1]
    for n, want in enumerate(wanted):
        more = min(want - taken[n], left)
        taken[n] += more
        left -= more
    return taken
