"""Refusals: chats that Telegram will not let us write to, until somebody mends that."""

import time
from dataclasses import dataclass

from stocksync.telemetry import get_logger

log = get_logger()

AGAIN_SECONDS = 300.0
"""A person mends it: no need to ask every second, nor to be restarted when it is mended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refusal:
    reason: str
    until: float


class Refusals:
    """The chats that refused, and why; each is said once in the log, and tried again in a while."""

    def __init__(self, *, again_seconds: float = AGAIN_SECONDS) -> None:
        self._again_seconds = again_seconds
        self._by_chat: dict[str, _Refusal] = {}

    @property
    def resting(self) -> frozenset[str]:
        """Chats that are not tried now."""
        now = time.monotonic()
        return frozenset(chat for chat, each in self._by_chat.items() if each.until > now)

    @property
    def summary(self) -> str | None:
        """All reasons, for the verdict; None: no chat refuses."""
        said = [f"chat {chat}: {each.reason}" for chat, each in sorted(self._by_chat.items())]
        return "; ".join(said) or None

    def __contains__(self, chat: str) -> bool:
        """Whether the chat refused the last message."""
        return chat in self._by_chat

    def note(self, chat: str, reason: str) -> None:
        """Let the chat rest for a while."""
        known = self._by_chat.get(chat)
        if known is None or known.reason != reason:
            log.error("delivery.refused", chat=chat, reason=reason)
        self._by_chat[chat] = _Refusal(reason=reason, until=time.monotonic() + self._again_seconds)

    def forget(self, chat: str) -> None:
        """The chat took a message."""
        if self._by_chat.pop(chat, None):
            log.info("delivery.accepted", chat=chat)
