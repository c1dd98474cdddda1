"""Backoff: the formula, its jitter, its edges."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stocksync.backoff import Backoff

seconds = st.integers(min_value=1, max_value=10**9)
bases = st.floats(min_value=1, max_value=100)
draws = st.floats(min_value=0, max_value=1, exclude_max=True)
retry_numbers = st.integers(min_value=1, max_value=10_000)


def exact(initial: float = 60, maximum: float = 3600, base: float = 2.0) -> Backoff:
    return Backoff(initial_seconds=initial, max_seconds=maximum, base=base, jitter=False)


@pytest.mark.parametrize(
    ("retry_number", "delay"),
    [(1, 60), (2, 120), (3, 240), (6, 1920), (7, 3600), (8, 3600), (10_000, 3600)],
)
def test_without_jitter_the_delay_is_the_formula(retry_number: int, delay: float) -> None:
    assert exact().delay_seconds(retry_number) == delay


def test_a_base_of_one_waits_the_same_every_time() -> None:
    assert [exact(base=1.0).delay_seconds(n) for n in (1, 2, 10_000)] == [60, 60, 60]


def test_a_maximum_equal_to_the_first_delay_is_kept() -> None:
    assert [exact(initial=5, maximum=5).delay_seconds(n) for n in (1, 2, 9)] == [5, 5, 5]


def test_a_maximum_below_the_first_delay_wins() -> None:
    assert exact(initial=60, maximum=10).delay_seconds(1) == 10


def test_a_whole_number_as_base_does_not_overflow() -> None:
    assert exact(base=2).delay_seconds(10_000) == 3600


@settings(deadline=None)  # a busy machine is no failure
@given(initial=seconds, maximum=seconds, base=bases, draw=draws, n=retry_numbers)
def test_jitter_stays_between_half_the_delay_and_the_delay(
    initial: int, maximum: int, base: float, draw: float, n: int
) -> None:
    whole = exact(initial, maximum, base).delay_seconds(n)
    jittered = Backoff(
        initial_seconds=initial, max_seconds=maximum, base=base, random=lambda: draw
    ).delay_seconds(n)
    assert whole / 2 <= jittered <= whole <= maximum
    assert jittered == pytest.approx(whole / 2 * (1 + draw))


@settings(deadline=None)  # a busy machine is no failure
@given(initial=seconds, maximum=seconds, base=bases, n=retry_numbers)
def test_a_later_retry_never_waits_less(initial: int, maximum: int, base: float, n: int) -> None:
    backoff = exact(initial, maximum, base)
    assert backoff.delay_seconds(n) <= backoff.delay_seconds(n + 1)


def test_jitter_is_still_there_at_the_maximum() -> None:
    backoff = Backoff(initial_seconds=60, max_seconds=3600, random=Random(7).random)
    delays = {backoff.delay_seconds(500) for _ in range(200)}
    assert len(delays) == 200
    assert min(delays) < 1900
    assert max(delays) > 3500


def test_two_daemons_do_not_draw_the_same_delays() -> None:
    one, other = (Backoff(initial_seconds=60, max_seconds=3600) for _ in range(2))
    assert [one.delay_seconds(n) for n in range(1, 9)] != [
        other.delay_seconds(n) for n in range(1, 9)
    ]


@pytest.mark.parametrize(
    ("asked", "delay"),
    [(None, 60), (0, 60), (-5, 60), (59, 60), (300, 300), (3600, 3600), (86_400, 3600)],
)
def test_the_service_may_ask_for_more_up_to_the_maximum(asked: float | None, delay: int) -> None:
    assert exact().delay_seconds(1, not_before_seconds=asked) == delay


@pytest.mark.parametrize("asked", [float("inf"), float("nan")])
def test_an_absurd_wish_stays_within_the_bounds(asked: float) -> None:
    assert 60 <= exact().delay_seconds(1, not_before_seconds=asked) <= 3600


@settings(deadline=None)  # a busy machine is no failure
@given(asked=st.floats(min_value=0, max_value=10**9), draw=draws, n=retry_numbers)
def test_jitter_never_undercuts_what_the_service_asked_for(
    asked: float, draw: float, n: int
) -> None:
    backoff = Backoff(initial_seconds=1, max_seconds=100, random=lambda: draw)
    assert min(asked, 100) <= backoff.delay_seconds(n, not_before_seconds=asked) <= 100


@pytest.mark.parametrize("retry_number", [0, -1])
def test_retries_are_counted_from_one(retry_number: int) -> None:
    with pytest.raises(ValueError, match="counted from 1"):
        exact().delay_seconds(retry_number)
