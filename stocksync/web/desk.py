"""The desk: one question at a time to the database, and one look at the outbox for everybody."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus
from typing import TypeVar

from stocksync.model import StocksyncError
from stocksync.operations import Operations
from stocksync.verdict import Limits, Standing
from stocksync.web.accounts import Accounts
from stocksync.web.answers import Refusal

T = TypeVar("T")

# Of three pooled connections the daemon keeps two, whatever is asked.
MOST_WAITING = 16
# Shorter than the pool's own deadline: a question that is too large is no outage of the database.
QUESTION_SECONDS = 8.0
# Between two questions: whoever asks without end takes a quarter of the time, at the most.
REST_COSTS = 3
LONGEST_REST_SECONDS = 0.5
# A look is shown so long, and so many times what it cost: the web takes 5 % of one connection.
FRESH_SECONDS = 5.0
FRESH_COSTS = 20
# What is no longer fresh is shown for so long while the next look takes its time.
KEPT_SECONDS = 60.0
# How soon it is looked again at a database that was away.
FAILED_SECONDS = 1.0


class Desk:
    """Lets one question through at a time; a few wait, the others are told to come again."""

    def __init__(self, *, question_seconds: float = QUESTION_SECONDS) -> None:
        self._question_seconds = question_seconds
        # Of those in line only the first waits at the desk itself: whoever comes first is next.
        self._line = asyncio.Lock()
        self._one_at_a_time = asyncio.Lock()
        self._waiting = 0
        self._rest_until = 0.0

    async def ask(self, question: Callable[[], Awaitable[T]]) -> T:
        """The answer. Raises `Refusal`: 503, too many ask, or this one took too long."""
        if self._waiting >= MOST_WAITING:
            raise Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE, "too many ask at once: try again", Retry_After="1"
            )
        self._waiting += 1
        try:
            async with (
                asyncio.timeout(self._question_seconds),
                self._line,
                self._one_at_a_time,
            ):
                return await self._rested(question)
        except TimeoutError:
            raise Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"no answer from the database within {self._question_seconds:g} s; "
                "if it was to change something, look whether it did",
                Retry_After="5",
            ) from None
        finally:
            self._waiting -= 1

    async def ask_first(self, question: Callable[[], Awaitable[T]]) -> T:
        """The answer to what everybody wants to know: past the line, and whenever it comes.

        For one at a time. Its only deadlines are the database's own: it tells an outage from work.
        """
        async with self._one_at_a_time:
            return await self._rested(question)

    async def _rested(self, question: Callable[[], Awaitable[T]]) -> T:
        rest_seconds = self._rest_until - time.monotonic()
        if rest_seconds > 0:
            await asyncio.sleep(rest_seconds)
        began_at = time.monotonic()
        try:
            return await question()
        finally:
            cost_seconds = time.monotonic() - began_at
            self._rest_until = time.monotonic() + min(
                REST_COSTS * cost_seconds, LONGEST_REST_SECONDS
            )


class Glance:
    """How the outbox stands, looked at once for all who ask within a few seconds."""

    def __init__(
        self, *, desk: Desk, operations: Operations, accounts: Accounts, limits: Limits
    ) -> None:
        self._desk = desk
        self._operations = operations
        self._accounts = accounts
        self._limits = limits
        self._seen: Standing | StocksyncError | None = None
        self._fresh_until = 0.0
        self._kept_until = 0.0
        self._looking: asyncio.Task[None] | None = None

    async def standing(self) -> Standing:
        """The standing. Raises as `Operations.status` does, and `Refusal`: 503, it takes long."""
        if self._seen is None or time.monotonic() >= self._fresh_until:
            if self._looking is None:
                self._looking = asyncio.create_task(self._look(), name="web's look")
            with suppress(TimeoutError):
                async with asyncio.timeout(QUESTION_SECONDS):
                    # Whoever gives up waiting does not take the look away from the others.
                    await asyncio.shield(self._looking)
        if isinstance(self._seen, StocksyncError):
            # The same one for everybody: without the way that it took the last time.
            raise self._seen.with_traceback(None)
        if self._seen is None or time.monotonic() >= self._kept_until:
            raise Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"no answer from the database within {QUESTION_SECONDS:g} s",
                Retry_After="5",
            )
        return self._seen

    def forget(self) -> None:
        """Something was changed: look anew."""
        self._fresh_until = 0.0

    async def close(self) -> None:
        """End a look that nobody waits for any more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])

    async def _look(self) -> None:
        cost_seconds = 0.0

        async def look() -> Standing:
            nonlocal cost_seconds
            began_at = time.monotonic()
            try:
                return await self._operations.status(limits=self._limits)
            finally:
                cost_seconds = time.monotonic() - began_at

        try:
            self._seen = await self._desk.ask_first(look)
            # Probes come here, too: in an outage, what people look for is already named.
            self._accounts.learn()
            fresh_seconds = max(FRESH_SECONDS, FRESH_COSTS * cost_seconds)
        except StocksyncError as error:
            self._seen = error
            fresh_seconds = FAILED_SECONDS
        finally:
            self._looking = None
        self._fresh_until = time.monotonic() + fresh_seconds
        self._kept_until = self._fresh_until + KEPT_SECONDS
