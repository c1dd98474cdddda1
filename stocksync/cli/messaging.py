"""The verbs `notify`, `mute` and `unmute`: a message to on-call now, or none for a while."""

import asyncio
import socket
from argparse import Namespace
from datetime import UTC, datetime

from stocksync import settings, telemetry
from stocksync.alerts import catalogue
from stocksync.changes import Change, Kind, Phase
from stocksync.cli.layout import count, utc
from stocksync.cli.session import show, verified, whose_hand
from stocksync.daemon.opening import open_telegram
from stocksync.message import Message
from stocksync.model import SettingsError
from stocksync.settings import PREFIX
from stocksync.telegram import Telegram, TelegramError


async def notify(arguments: Namespace) -> None:
    """Send a message to the critical chats; neither database nor daemon has to be there."""
    # A misspelt name may be the very reason why a unit failed, which is to be told.
    loaded = settings.load(settings.Telegram, env_file=arguments.env_file, may_have_unknown=True)
    group = loaded[settings.Telegram]
    # What goes wrong is said once, by the command itself.
    telemetry.configure("error")
    telegram = open_telegram(group)
    if telegram is None:
        raise SettingsError(f"{PREFIX}TELEGRAM_BOT_TOKEN: is required")
    facts = {"text": arguments.text, "by": whose_hand()}
    if arguments.failed is not None:
        facts |= {"unit": arguments.failed, "host": socket.gethostname()}
    notice = Change(at=datetime.now(UTC), kind=Kind.NOTICE, phase=Phase.HAPPENED, facts=facts)
    message = catalogue(group.language).message([notice], {})
    try:
        tried = {
            chat: asyncio.create_task(_sent(telegram, chat, message, group.telegram_thread_id))
            for chat in group.critical_chats
        }
        errors = {chat: await task for chat, task in tried.items()}
    finally:
        await telegram.aclose()
    document = {
        "sent_to": [chat for chat, error in errors.items() if error is None],
        "not_sent_to": {chat: str(error) for chat, error in errors.items() if error is not None},
    }
    show(arguments, document, lambda: "\n".join(map(_line, errors.items())))
    for error in errors.values():
        if error is not None:
            raise error


async def mute(arguments: Namespace) -> None:
    """Keep all daemons from sending messages for a while."""
    by = whose_hand()
    async with verified(arguments) as database:
        until = await database.fetchval("mute", arguments.minutes, by)
    span = count(arguments.minutes, "minute")
    said = f"no messages for {span}, until {utc(until)} UTC, by {by}"
    told = "what happens is told then; sooner: stocksync unmute"
    show(arguments, {"muted_until": until, "muted_by": by}, lambda: f"{said}\n{told}")


async def unmute(arguments: Namespace) -> None:
    """End a mute now."""
    async with verified(arguments) as database:
        was_muted = await database.fetchval("unmute") is not None
    show(
        arguments,
        {"was_muted": was_muted},
        lambda: "messages go on; what happened is told now" if was_muted else "nothing was muted",
    )


async def _sent(
    telegram: Telegram, chat: str, message: Message, thread_id: int | None
) -> TelegramError | None:
    try:
        await telegram.send(chat, message, thread_id=thread_id)
    except TelegramError as error:
        return error
    return None


def _line(sent: tuple[str, TelegramError | None]) -> str:
    chat, error = sent
    return f"sent to {chat}" if error is None else f"not sent to {chat}: {error}"
