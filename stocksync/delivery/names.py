"""Names: what people call the accounts, as far as the microservice says so in time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping

from stocksync.changes import Change
from stocksync.model import ServiceUnavailable
from stocksync.telemetry import get_logger

log = get_logger()

FRESH_SECONDS = 600.0
"""Accounts are renamed rarely."""
SILENT_SECONDS = 60.0
"""Who did not answer is not asked again before: an outage brings many messages."""
PATIENCE_SECONDS = 2.0
"""A message with tokens now is better than one with names later."""


class Names:
    """The accounts' names; `accounts` asks the microservice, and may raise ServiceUnavailable.

    Names that are known stay known when the service is silent.
    """

    def __init__(
        self,
        *,
        accounts: Callable[[], Awaitable[dict[str, str]]],
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._accounts = accounts
        self._patience_seconds = patience_seconds
        self._known: dict[str, str] = {}
        self._ask_at = 0.0

    async def of(self, changes: Iterable[Change]) -> Mapping[str, str]:
        """Names by token, for these changes; without any the tokens have to do."""
        if time.monotonic() >= self._ask_at and any(map(_is_about_accounts, changes)):
            await self.refresh()
        return self._known

    @property
    def known(self) -> Mapping[str, str]:
        """Names by token, as they were heard last: for those who do not wait."""
        return self._known

    async def refresh(self) -> None:
        """Ask now, for as long as a message would wait; whoever calls it does not do so often."""
        self._ask_at = time.monotonic() + await self._ask()

    async def _ask(self) -> float:
        """Gives the seconds for which there is no need to ask again."""
        try:
            async with asyncio.timeout(self._patience_seconds):
                found = await self._accounts()
        except (TimeoutError, ServiceUnavailable) as error:
            log.debug("delivery.no_names", reason=str(error))
            return SILENT_SECONDS
        if not found:  # what the service says when it lost its database
            return SILENT_SECONDS
        self._known = found
        return FRESH_SECONDS


def _is_about_accounts(change: Change) -> bool:
    return bool(change.token_id) or _has_token(change.facts)


def _has_token(fact: object) -> bool:
    if isinstance(fact, dict):
        return "token_id" in fact or any(map(_has_token, fact.values()))
    return isinstance(fact, list) and any(map(_has_token, fact))
