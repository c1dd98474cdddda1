"""Silences: chats for which Telegram gives no answer, each of which rests longer each time."""

import time
from dataclasses import dataclass

from stocksync.backoff import Backoff
from stocksync.telemetry import get_logger

log = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Silence:
    since: float
    failures: int
    until: float


class Silences:
    """The chats that get no answer; each is said once in the log, and its end."""

    def __init__(self, *, backoff: Backoff) -> None:
        self._backoff = backoff
        self._by_chat: dict[str, _Silence] = {}
        self._since_an_answer: set[str] = set()

    @property
    def resting(self) -> frozenset[str]:
        """Chats that are not tried now."""
        now = time.monotonic()
        return frozenset(chat for chat, each in self._by_chat.items() if each.until > now)

    @property
    def is_everywhere(self) -> bool:
        """Two chats in a row: it is not one of them, Telegram is away."""
        return len(self._since_an_answer) > 1

    def failures(self, chat: str) -> int:
        """How often in a row."""
        return self._by_chat[chat].failures if chat in self._by_chat else 0

    def note(self, chat: str, reason: str) -> None:
        """Let the chat rest for a while."""
        now, failures = time.monotonic(), self.failures(chat) + 1
        if failures == 1:
            log.warning("delivery.unavailable", chat=chat, reason=reason)
        self._by_chat[chat] = _Silence(
            since=self._by_chat[chat].since if chat in self._by_chat else now,
            failures=failures,
            until=now + self._backoff.delay_seconds(failures),
        )
        self._since_an_answer.add(chat)

    def forget(self, chat: str) -> None:
        """Telegram answered, in this chat."""
        self._since_an_answer.clear()
        if silence := self._by_chat.pop(chat, None):
            after_seconds = round(time.monotonic() - silence.since, 1)
            log.info("delivery.available", chat=chat, after_s=after_seconds)
