"""Accounts: what people call them, for answers; learnt beside these, never waited for."""

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Protocol

from stocksync.alerts import line_of

NameOf = Callable[[str | None], str | None]
"""An account's name by its token; None: it is not known, or there is no account."""

LEARN_SECONDS = 600.0
"""Accounts are renamed rarely, and a service in trouble has enough to do."""
LONGEST_NAME = 100
"""An answer has hundreds of them."""


class Names(Protocol):
    """Knows the names of accounts, as far as it has heard of them."""

    @property
    def known(self) -> Mapping[str, str]:
        """Names by token."""

    async def refresh(self) -> None:
        """Ask for them anew: for seconds, not more, and without an error if there is no answer."""


class Accounts:
    """Names for the answers of now, and a question in the background for those of later."""

    def __init__(self, *, names: Names) -> None:
        self._names = names
        self._learn_at = 0.0
        self._learning: asyncio.Task[None] | None = None

    def name(self, token_id: str | None) -> str | None:
        """The account's name, as one line; None: it is not known, or there is no account."""
        found = self._names.known.get(token_id) if token_id else None
        return _line(found) if found else None

    def learn(self) -> None:
        """Have the names asked for, if that is long ago; returns at once."""
        if time.monotonic() < self._learn_at:
            return
        self._learn_at = time.monotonic() + LEARN_SECONDS
        self._learning = asyncio.create_task(self._names.refresh(), name="web's names")

    async def close(self) -> None:
        """End a question that nobody waits for any more."""
        if self._learning is not None:
            self._learning.cancel()
            await asyncio.wait([self._learning])


@lru_cache(maxsize=1000)
def _line(name: str) -> str | None:
    return line_of(name, LONGEST_NAME) or None
