"""The pace, against simulated services: kept busy, never queued up on."""

import heapq
import random
from dataclasses import dataclass

import pytest

from stocksync.relay.pace import ALONE_EVERY_SECONDS, Going, Pace


@dataclass
class Ran:
    per_second: float
    most_in_flight: int
    waiting: float
    """In the service's queue, on average, in the second half."""
    limit: int


def run(
    pace: Pace,
    *,
    workers: int,
    seconds: float,
    pushes: int = 3000,
    jitter: float = 0.0,
    is_excusing: bool = False,
    slots: int = 32,
) -> Ran:
    """Push as the relay would, to a service of so many workers that each take so long."""
    draw = random.Random(7)
    now, begun, ended, most, waited, half_at = 0.0, 0, 0, 0, 0.0, 0.0
    free_at = [0.0] * workers
    in_flight: list[tuple[float, int, Going]] = []  # by its end
    while ended < pushes:
        while begun < pushes and pace.admits() and len(in_flight) < slots:
            start = max(now, heapq.heappop(free_at))
            end = start + seconds * (1 + jitter * draw.uniform(-1, 1))
            heapq.heappush(free_at, end)
            heapq.heappush(in_flight, (end, begun, pace.begin(now)))
            if begun > pushes / 2:
                waited += start - now
            begun += 1
            most = max(most, len(in_flight))
        if is_excusing and (hanging := _first_to_excuse(pace, in_flight, in_flight[0][0])):
            # A little later, as timers are.
            now = hanging.began_at + pace.patience_seconds + 1e-9
            pace.excuse_late(now)
            continue
        now, _, going = heapq.heappop(in_flight)
        ended += 1
        if ended == pushes // 2:
            half_at = now
        pace.end(going, is_proven=True, now=now)
    return Ran(
        per_second=(pushes - pushes // 2) / (now - half_at),
        most_in_flight=most,
        waiting=waited / (now - half_at),
        limit=pace.limit,
    )


def _first_to_excuse(
    pace: Pace, in_flight: list[tuple[float, int, Going]], before: float
) -> Going | None:
    late = [
        going
        for _, _, going in in_flight
        if not going.is_excused and going.began_at + pace.patience_seconds < before
    ]
    return min(late, key=lambda going: going.began_at, default=None)


def a_pace(most: int = 8) -> Pace:
    return Pace(most=most, on_step=lambda: None)


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("jitter", [0.0, 0.5])
def test_a_service_is_kept_busy_and_hardly_queued_up_on(workers: int, jitter: float) -> None:
    ran = run(a_pace(most=32), workers=workers, seconds=0.01, jitter=jitter)
    assert ran.per_second >= 0.95 * workers / 0.01
    assert ran.waiting <= 3


def test_a_service_with_room_gets_all_that_may_be_in_flight() -> None:
    ran = run(a_pace(most=16), workers=100, seconds=0.1)
    assert ran.limit == ran.most_in_flight == 16
    assert ran.per_second >= 0.95 * 16 / 0.1


def test_a_fast_service_is_not_held_back_by_waits_that_nobody_notices() -> None:
    assert run(a_pace(), workers=1, seconds=0.0004).limit == 8


@pytest.mark.parametrize("most", [1, 2, 8])
def test_the_limit_is_never_exceeded(most: int) -> None:
    assert run(a_pace(most=most), workers=3, seconds=0.02).most_in_flight <= most


def test_a_service_that_becomes_slow_is_pushed_less_and_back_to_its_pace_when_it_recovers() -> None:
    pace = a_pace(most=16)
    assert run(pace, workers=16, seconds=0.02).limit == 16
    assert run(pace, workers=1, seconds=0.02).limit <= 4
    assert run(pace, workers=16, seconds=0.02).limit >= 12


def a_round(pace: Pace, seconds: float, *, now: float = 0.0) -> None:
    """As many pushes at once as it admits."""
    going = []
    while pace.admits():
        going.append(pace.begin(now))
    for each in going:
        pace.end(each, is_proven=True, now=now + seconds)


def test_one_call_that_hangs_does_not_hold_up_the_others() -> None:
    pace = a_pace()
    hanging = pace.begin(0.0)
    assert not pace.admits()
    assert pace.excuse_late(0.4) == pytest.approx(0.6)
    assert not pace.admits()
    assert pace.excuse_late(1.1) is None
    assert pace.admits()
    for n in range(20):
        a_round(pace, 0.02, now=n)
    assert pace.limit == 8
    pace.end(hanging, is_proven=True, now=30.0)
    for n in range(20):
        a_round(pace, 0.02, now=n)
    assert pace.limit == 8


def test_a_push_is_excused_after_two_usual_ones() -> None:
    pace = a_pace()
    assert pace.patience_seconds == 1
    for n in range(20):
        a_round(pace, 0.3, now=n)
    assert pace.patience_seconds == pytest.approx(0.6)
    for n in range(20):
        a_round(pace, 0.001, now=n)
    assert pace.patience_seconds == 0.1


def test_what_fails_says_nothing_of_the_pace() -> None:
    pace = a_pace()
    for n in range(20):
        a_round(pace, 0.02, now=n)
    for _ in range(50):
        pace.end(pace.begin(0.0), is_proven=False, now=10.0)
    assert pace.limit == 8


def test_the_time_of_a_push_alone_is_measured_anew_now_and_then() -> None:
    pace = a_pace()
    for n in range(20):
        a_round(pace, 0.02, now=n)
    later = 20 + ALONE_EVERY_SECONDS
    a_round(pace, 0.02, now=later)
    going = pace.begin(later)
    assert not pace.admits()
    pace.end(going, is_proven=False, now=later + 1)
    assert pace.admits()
    pace.begin(later)
    assert pace.admits()


@pytest.mark.parametrize(("workers", "seconds"), [(8, 2.0), (4, 1.5)])
def test_a_service_that_is_slow_from_the_start_gets_more_than_one_at_a_time(
    workers: int, seconds: float
) -> None:
    ran = run(a_pace(), workers=workers, seconds=seconds, is_excusing=True, pushes=500)
    assert ran.per_second >= 0.7 * min(8, workers) / seconds


def test_a_service_that_becomes_very_slow_is_not_swamped() -> None:
    pace = a_pace()
    run(pace, workers=1, seconds=0.0065, is_excusing=True)
    assert run(pace, workers=1, seconds=1.6, is_excusing=True, pushes=300).limit <= 4
