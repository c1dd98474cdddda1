"""Telegram: one bot, what it says and hears; each call has a deadline, none is tried twice."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from stocksync.message import Message
from stocksync.telegram.errors import GroupMoved
from stocksync.telegram.updates import Update
from stocksync.telemetry import get_logger, hide

log = get_logger()

TIMEOUT_SECONDS = 10.0

T = TypeVar("T")


class Telegram:
    """The bot with this token, at `api_url` (None: Telegram's own server).

    Making the first one imports aiogram, for seconds: make it before anything waits for you. Every
    method raises `Flooded`, `TelegramRefused`, `Unsendable` or `TelegramUnavailable`, and nothing
    is slept or tried again in here. The token appears in no log line from now on.

    A chat is the text of its id, or the `@name` of a channel, as the settings have it. A group that
    was made a supergroup has another id: messages to the old one go to the new one, and the log
    says so.
    """

    def __init__(
        self, *, token: str, api_url: str | None = None, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        hide(token)
        # Here, not above: 2.6 s and 130 MB, only for who sends.
        from stocksync.telegram.calls import Calls  # noqa: PLC0415 - the line above

        self.timeout_seconds = timeout_seconds
        self._calls = Calls(token=token, api_url=api_url, timeout_seconds=timeout_seconds)
        self._moved: dict[str, str] = {}

    async def aclose(self) -> None:
        """Close all connections."""
        await self._calls.aclose()

    async def send(
        self, chat: str, message: Message, *, thread_id: int | None = None
    ) -> int | None:
        """Send the message, cut to Telegram's limits; gives its number in the chat, if told."""
        return await self._wherever(
            chat, lambda there: self._calls.send(there, message, thread_id=thread_id)
        )

    async def edit(self, chat: str, message_id: int, message: Message) -> None:
        """Replace the text and the buttons of a message of ours; as it is already is fine."""
        await self._wherever(chat, lambda there: self._calls.edit(there, message_id, message))

    async def answer(self, callback_id: str, text: str) -> None:
        """End a pressed button's waiting with a short text, 200 characters at most."""
        await self._calls.answer(callback_id, text)

    async def updates(self, after: int, timeout_seconds: int) -> tuple[Update, ...]:
        """What people did after the update `after`; waits so long for something.

        Asking for what came after an update makes Telegram forget that one and those before. One
        asker at a time: a second one makes Telegram turn away the first.
        """
        return await self._calls.updates(after, timeout_seconds)

    async def newest(self) -> int | None:
        """The number of the last thing that people did; None: nothing. All before is forgotten."""
        return await self._calls.newest()

    async def me(self) -> str:
        """The bot's `@name`."""
        return await self._calls.me()

    async def chat(self, chat: str) -> str:
        """The chat's name, for people."""
        return await self._calls.chat(chat)

    async def _wherever(self, chat: str, call: Callable[[str], Awaitable[T]]) -> T:
        """Follow a group to its new id."""
        try:
            return await call(self._moved.get(chat, chat))
        except GroupMoved as moved:
            log.warning("telegram.chat_moved", chat=chat, to=moved.to)
            self._moved[chat] = moved.to
            return await call(moved.to)
