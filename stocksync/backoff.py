"""Backoff: how long to wait before the n-th retry. tenacity's home; it never sleeps."""

import random as randomness
from collections.abc import Callable

from tenacity import RetryCallState, Retrying, wait_exponential
from tenacity.wait import wait_base


class _EqualJitter(wait_base):
    """Half of the wait is kept, half is drawn: spread out also at the cap, never close to zero.

    tenacity's own `wait_exponential_jitter` adds its jitter before it cuts at the maximum, so
    that everything which failed in a long outage would come back in the same instant.
    """

    def __init__(self, wait: wait_base, random: Callable[[], float]) -> None:
        self._wait = wait
        self._random = random

    def __call__(self, retry_state: RetryCallState) -> float:
        whole = self._wait(retry_state)
        return whole / 2 + whole / 2 * self._random()


class Backoff:
    """Delays that grow from retry to retry: d(n) = min(initial · base^(n-1), max), with jitter.

    This is the formula of the README, "Failures". "With jitter" means equal jitter: the delay lies
    evenly between d/2 and d, so the formula is the longest wait and its half the shortest.
    Without jitter the delay is d itself.

    For operations (the delay is stored, nobody sleeps) and for loops that back off on errors.
    `random` draws from [0, 1).
    """

    def __init__(
        self,
        *,
        initial_seconds: float,
        max_seconds: float,
        base: float = 2.0,
        jitter: bool = True,
        random: Callable[[], float] = randomness.random,
    ) -> None:
        self._max_seconds = float(max_seconds)
        # A float base overflows at once where an int would grow a number of thousands of digits.
        growing = wait_exponential(
            multiplier=float(initial_seconds), max=self._max_seconds, exp_base=float(base)
        )
        self._retrying = Retrying(wait=_EqualJitter(growing, random) if jitter else growing)

    def delay_seconds(self, retry_number: int, not_before_seconds: float | None = None) -> float:
        """Seconds to wait before retry `retry_number` (the first is 1).

        `not_before_seconds` is what the other side asked for (Retry-After): the delay is no
        shorter, but a wish beyond the maximum counts as the maximum.
        ValueError: `retry_number` is below 1.
        """
        if retry_number < 1:
            raise ValueError(f"retries are counted from 1, not {retry_number}")
        state = RetryCallState(retry_object=self._retrying, fn=None, args=(), kwargs={})
        state.attempt_number = retry_number
        delay = self._retrying.wait(state)
        if not_before_seconds is None:
            return delay
        return max(delay, min(not_before_seconds, self._max_seconds))
