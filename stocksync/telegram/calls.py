"""The Bot API's calls: our messages into its words, its answers into ours. aiogram's home."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import aiogram
from aiogram import exceptions, methods, types
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import PRODUCTION, TelegramAPIServer
from aiogram.methods import TelegramMethod
from aiogram.utils import formatting

from stocksync.message import Bold, Button, Message, Part
from stocksync.telegram.errors import (
    Flooded,
    GroupMoved,
    TelegramError,
    TelegramRefused,
    TelegramUnavailable,
    Unsendable,
)
from stocksync.telegram.text import LONGEST_CAPTION, LONGEST_TEXT, cut
from stocksync.telegram.updates import Other, Pressed, Said, Update
from stocksync.telemetry import mask

LONGEST_ANSWER = 200
"""Characters that Telegram shows over a pressed button; Bot API, answerCallbackQuery."""
LONGEST_REASON = 300
"""Characters of Telegram's own words that are kept."""

ABOUT_THE_CHAT = (
    "chat not found",
    "chat_id is empty",
    "user not found",
    "peer_id_invalid",
    "chat_restricted",
    "chat_write_forbidden",
    "chat_send_",  # CHAT_SEND_PLAIN_FORBIDDEN and its like
    "chat_admin_required",
    "not enough rights",
    "have no rights",
    "need administrator rights",
    "group chat was deactivated",
    "group is deactivated",
    "message thread not found",
    "topic_closed",
    "topic_deleted",
    "bot is not a member",
    "bot was kicked",
)
"""What a 400 says, in lower case, that another text would get as well."""
UNCHANGED = "message is not modified"
NOT_TELEGRAM = "an answer that is not Telegram's"


class Calls:
    """The calls that we use, each with a deadline and our errors."""

    def __init__(self, *, token: str, api_url: str | None, timeout_seconds: float) -> None:
        server = PRODUCTION if api_url is None else TelegramAPIServer.from_base(api_url)
        self._bot = aiogram.Bot(token, session=AiohttpSession(api=server))
        self._timeout_seconds = timeout_seconds

    async def aclose(self) -> None:
        """Close all connections; waits 0.25 s for TLS to end."""
        await self._bot.session.close()

    async def send(self, chat: str, message: Message, *, thread_id: int | None) -> int | None:
        """sendMessage, or sendPhoto where there is a picture; gives its number, if told."""
        method: methods.SendMessage | methods.SendPhoto
        if message.picture is None:
            method = methods.SendMessage(
                chat_id=_chat_id(chat),
                message_thread_id=thread_id,
                **_text(message.parts).as_kwargs(),
                # A URL in an error message is to be read, not visited.
                link_preview_options=types.LinkPreviewOptions(is_disabled=True),
                reply_markup=_keyboard(message.buttons),
            )
        else:
            method = methods.SendPhoto(
                chat_id=_chat_id(chat),
                message_thread_id=thread_id,
                photo=types.BufferedInputFile(message.picture, "picture.png"),
                **_text(message.parts, longest=LONGEST_CAPTION).as_caption_kwargs(),
                reply_markup=_keyboard(message.buttons),
            )
        sent = await self._call(method)
        number = _field(sent, "message_id")
        # Without a number it is sent all the same.
        return number if isinstance(number, int) else None

    async def edit(self, chat: str, message_id: int, message: Message) -> None:
        """editMessageText."""
        method = methods.EditMessageText(
            chat_id=_chat_id(chat),
            message_id=message_id,
            **_text(message.parts).as_kwargs(),
            link_preview_options=types.LinkPreviewOptions(is_disabled=True),
            reply_markup=_keyboard(message.buttons),
        )
        try:
            await self._call(method)
        except Unsendable as error:
            if UNCHANGED not in str(error):
                raise

    async def answer(self, callback_id: str, text: str) -> None:
        """answerCallbackQuery."""
        await self._call(
            methods.AnswerCallbackQuery(callback_query_id=callback_id, text=text[:LONGEST_ANSWER])
        )

    async def updates(self, after: int, timeout_seconds: int) -> tuple[Update, ...]:
        """getUpdates, waiting so long for one."""
        method = methods.GetUpdates(
            offset=after + 1,
            timeout=timeout_seconds,
            allowed_updates=["message", "callback_query"],
        )
        return _updates(await self._call(method, waiting_seconds=timeout_seconds))

    async def newest(self) -> int | None:
        """getUpdates, the last one alone."""
        method = methods.GetUpdates(offset=-1, limit=1, timeout=0)
        numbers = [update.id for update in _updates(await self._call(method))]
        return max(numbers, default=None)

    async def me(self) -> str:
        """getMe: the bot's `@name`."""
        name = _field(await self._call(methods.GetMe()), "username")
        if not isinstance(name, str):
            raise TelegramUnavailable(NOT_TELEGRAM)
        return f"@{name}"

    async def chat(self, chat: str) -> str:
        """getChat: its title, or the person's name."""
        found = await self._call(methods.GetChat(chat_id=_chat_id(chat)))
        return _field(found, "title") or _field(found, "first_name") or chat

    async def _call(self, method: TelegramMethod[Any], *, waiting_seconds: float = 0) -> Any:  # noqa: ANN401 - what the method returns
        seconds = self._timeout_seconds + waiting_seconds
        # aiogram's own deadline is the client library's; ours holds whatever is in between.
        calling: Awaitable[Any] = self._bot(method, request_timeout=round(seconds) + 1)
        try:
            async with asyncio.timeout(seconds):
                return await calling
        except TimeoutError as error:
            raise TelegramUnavailable(f"no answer from Telegram within {seconds:g} s") from error
        except exceptions.ClientDecodeError as error:
            # Done, with an answer that aiogram does not know: to say no would be to do it again.
            if isinstance(error.data, dict) and error.data.get("ok") is True:
                return error.data.get("result")
            raise TelegramUnavailable(NOT_TELEGRAM) from error
        except exceptions.TelegramAPIError as error:
            raise _ours(error) from error
        except (TypeError, ValueError) as error:
            # aiogram reads the words of a 5xx that has none.
            raise TelegramUnavailable(NOT_TELEGRAM) from error
        except OSError as error:
            raise TelegramUnavailable(f"no connection: {_reason(error)}") from error


def _ours(error: exceptions.TelegramAPIError) -> TelegramError:
    """Say what there is to do about it."""
    reason = _reason(error)
    match error:
        case exceptions.TelegramRetryAfter(retry_after=seconds):
            return Flooded(seconds)
        case exceptions.TelegramMigrateToChat(migrate_to_chat_id=chat):
            return GroupMoved(to=str(chat))
        case exceptions.TelegramBadRequest() if any(
            words in reason.lower() for words in ABOUT_THE_CHAT
        ):
            return TelegramRefused(reason)
        case exceptions.TelegramBadRequest() | exceptions.TelegramEntityTooLarge():
            return Unsendable(reason)
        case (
            exceptions.TelegramUnauthorizedError()
            | exceptions.TelegramForbiddenError()
            # No such bot: Telegram has the token in the path.
            | exceptions.TelegramNotFound()
        ):
            return TelegramRefused(reason)
    return TelegramUnavailable(reason)


def _reason(error: Exception) -> str:
    """Its words, on one line. URLs of the Bot API have the token in them: `hide` knows it."""
    text = error.message if isinstance(error, exceptions.TelegramAPIError) else str(error)
    # None, whatever its type says, when Telegram gave no description.
    return mask(" ".join((text or "").split()) or type(error).__name__)[:LONGEST_REASON]


def _field(found: Any, name: str) -> Any:  # noqa: ANN401 - what Telegram has there
    """Of an object that aiogram knows, or of one in a shape that is newer or older than it."""
    return found.get(name) if isinstance(found, dict) else getattr(found, name, None)


def _text(parts: tuple[Part, ...], *, longest: int = LONGEST_TEXT) -> formatting.Text:
    return formatting.Text(*(_formatted(part) for part in cut(parts, longest)))


def _formatted(part: Part) -> str | formatting.Text:
    if isinstance(part, str):
        return part
    return formatting.Bold(part.text) if isinstance(part, Bold) else formatting.Code(part.text)


def _keyboard(buttons: tuple[tuple[Button, ...], ...]) -> types.InlineKeyboardMarkup | None:
    if not buttons:
        return None
    rows = [
        [types.InlineKeyboardButton(text=each.label, callback_data=each.action) for each in row]
        for row in buttons
    ]
    return types.InlineKeyboardMarkup(inline_keyboard=rows)


def _chat_id(chat: str) -> int | str:
    return chat if chat.startswith("@") else int(chat)


def _updates(found: Any) -> tuple[Update, ...]:  # noqa: ANN401 - what Telegram has there
    try:
        return tuple(_update(update) for update in found)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise TelegramUnavailable(NOT_TELEGRAM) from error


def _update(update: types.Update | dict[str, Any]) -> Update:
    if isinstance(update, dict):
        # One that aiogram does not know came along: the others shall be heard all the same.
        try:
            return _update(types.Update.model_validate(update))
        except ValueError:
            return Other(id=int(update["update_id"]))
    if (message := update.message) is not None:
        return Said(
            id=update.update_id,
            chat=str(message.chat.id),
            chat_name=_name(message.chat.username),
            thread_id=message.message_thread_id if message.is_topic_message else None,
            message_id=message.message_id,
            user_id=message.from_user.id if message.from_user else None,
            user_name=_full_name(message.from_user),
            text=message.text or "",
        )
    if (press := update.callback_query) is not None:
        chat = press.message and press.message.chat
        return Pressed(
            id=update.update_id,
            callback_id=press.id,
            chat=str(chat.id) if chat else "",
            chat_name=_name(chat.username) if chat else "",
            message_id=press.message.message_id if press.message else 0,
            user_id=press.from_user.id,
            user_name=_full_name(press.from_user),
            action=press.data or "",
        )
    return Other(id=update.update_id)


def _name(username: str | None) -> str:
    return f"@{username}" if username else ""


def _full_name(user: types.User | None) -> str:
    """As it goes into an operation's history."""
    if user is None:
        return ""
    return f"@{user.username}" if user.username else user.full_name
