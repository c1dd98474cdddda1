"""The bot: one daemon at a time asks Telegram what people did, and does it."""

import asyncio
from collections.abc import Collection
from uuid import uuid4

from stocksync.alerts import Catalogue, line_of
from stocksync.bot.commands import LONGEST_REASON, Commands, NamesOf, said
from stocksync.bot.people import People, hand_of, name_of
from stocksync.bot.presses import Outcome, Presses
from stocksync.database import Database
from stocksync.model import DatabaseUnavailable, NotPossible, StocksyncError, UnknownOperation
from stocksync.operations import Operations
from stocksync.telegram import (
    Flooded,
    Pressed,
    Said,
    Telegram,
    TelegramError,
    TelegramRefused,
    Update,
)
from stocksync.telemetry import get_logger
from stocksync.timers import Timers
from stocksync.verdict import Limits

log = get_logger()

NEVER_ASKED = 0
"""The number of the next update, until somebody asked for one."""
POLL_SECONDS = 20
"""Telegram holds an empty answer back for so long."""
LEASE_SECONDS = 60.0
"""Longer than a poll, and than what one update takes; the poller that died is followed then."""
LOOK_SECONDS = 5.0
"""How often the other daemons look whether it died."""
DEAF_SECONDS, REFUSED_SECONDS = 5.0, 60.0
"""Until the next try, after an error, and after one that a person must mend."""
LONGEST_PAUSE_SECONDS = 3600.0
"""Telegram's own last minutes; more is a mistake of somebody in between."""
LONGEST_COMMAND = 40
LETTING_GO_SECONDS = 1.0
"""A stopping daemon does not wait for the database: its lease ends."""


class Bot:
    """Buttons and commands, for `allowed_user_ids` in `chats` (README: "Buttons and commands").

    `tick` is for a loop of its own: it waits for Telegram. `names` gives accounts' names for
    changes; `limits` are those of the verdict.
    """

    def __init__(
        self,
        *,
        database: Database,
        telegram: Telegram,
        operations: Operations,
        timers: Timers,
        catalogue: Catalogue,
        names: NamesOf,
        chats: Collection[str],
        allowed_user_ids: Collection[int],
        limits: Limits,
        poll_seconds: int = POLL_SECONDS,
    ) -> None:
        self._database = database
        self._telegram = telegram
        self._words = catalogue.words.bot
        self._say = catalogue.speech.text
        self._people = People(chats=chats, user_ids=allowed_user_ids)
        self._commands = Commands(
            operations=operations,
            timers=timers,
            catalogue=catalogue,
            names=names,
            limits=limits,
        )
        self._presses = Presses(
            database=database, operations=operations, catalogue=catalogue, names=names
        )
        self._poll_seconds = poll_seconds
        self._id = uuid4()
        self._own_name: str | None = None
        self._is_deaf = False

    async def tick(self) -> float:
        """Ask once and do what was heard, if no other daemon does; the seconds to rest."""
        try:
            return await self._poll()
        except asyncio.CancelledError:
            await self._let_go()
            raise

    async def _poll(self) -> float:
        following = await self._database.fetchval("bot_poll", self._id, LEASE_SECONDS)
        if following is None:
            return LOOK_SECONDS
        try:
            if self._own_name is None:
                self._own_name = await self._telegram.me()
            if following == NEVER_ASKED:
                return await self._begin()
            updates = await self._telegram.updates(following - 1, self._poll_seconds)
        except TelegramError as error:
            return self._unheard(error)
        if self._is_deaf:
            log.info("bot.hears")
            self._is_deaf = False
        for update in updates:
            # Before it is done: who dies in the middle has not done it twice.
            if not await self._is_ours(update):
                return LOOK_SECONDS
            await self._heed(update)
        return 0

    async def _begin(self) -> float:
        """Pass over what people wanted before there was somebody to ask: a day old, perhaps."""
        newest = await self._telegram.newest()
        await self._database.fetchrow("bot_heard", self._id, (newest or 0) + 1, LEASE_SECONDS)
        return 0

    async def _is_ours(self, update: Update) -> bool:
        arguments = (self._id, update.id + 1, LEASE_SECONDS)
        try:
            return await self._database.fetchrow("bot_heard", *arguments) is not None
        except DatabaseUnavailable:
            # It stays Telegram's, and is heard again.
            if isinstance(update, Pressed) and self._people.may(update):
                await self._answer(update, self._words.waits_for_database)
            raise

    async def _heed(self, update: Update) -> None:
        match update:
            case Said() if self._people.may(update):
                await self._obey(update)
            case Pressed() if self._people.may(update):
                await self._press(update)

    async def _obey(self, update: Said) -> None:
        first, _, argument = update.text.partition(" ")
        command, _, whose = first.partition("@")
        if not command.startswith("/") or (whose and f"@{whose}" != self._own_name):
            return
        try:
            message = await self._commands.answer(command[1:], argument, by=hand_of(update))
        except StocksyncError as error:
            message = said(self._in_words(error))
        if message is None:
            # Another bot's in the same chat, unless we were named.
            if not whose:
                return
            command = line_of(command, LONGEST_COMMAND)
            message = said(self._say(self._words.unknown_command, command=command))
        try:
            await self._telegram.send(update.chat, message, thread_id=update.thread_id)
        except TelegramError as error:
            log.warning("bot.unanswered", chat=update.chat, reason=str(error))

    async def _press(self, update: Pressed) -> None:
        by, name = hand_of(update), name_of(update)
        try:
            outcome = await self._presses.press(update.action, by=by, name=name)
        except StocksyncError as error:
            outcome = Outcome(answer=self._in_words(error), message=None)
        await self._answer(update, outcome.answer)
        if outcome.message is not None:
            try:
                await self._telegram.edit(update.chat, update.message_id, outcome.message)
            except TelegramError as error:
                log.warning("bot.unanswered", chat=update.chat, reason=str(error))

    def _in_words(self, error: StocksyncError) -> str:
        reason = line_of(str(error), LONGEST_REASON)
        match error:
            case UnknownOperation():
                return self._words.unknown_operation
            case NotPossible():
                return self._say(self._words.not_possible, reason=reason)
            case DatabaseUnavailable():
                return self._words.database_away
        log.warning("bot.failed", reason=reason)
        return self._say(self._words.went_wrong, reason=reason)

    async def _answer(self, update: Pressed, text: str) -> None:
        try:
            await self._telegram.answer(update.callback_id, text)
        except TelegramError as error:
            # Too old to be answered, for instance; the message shows it.
            log.debug("bot.press_unanswered", reason=str(error))

    def _unheard(self, error: TelegramError) -> float:
        if not self._is_deaf:
            log.warning("bot.deaf", reason=str(error))
            self._is_deaf = True
        match error:
            case Flooded(retry_after_seconds=seconds):
                return min(max(seconds, DEAF_SECONDS), LONGEST_PAUSE_SECONDS)
            case TelegramRefused():
                return REFUSED_SECONDS
        return DEAF_SECONDS

    async def _let_go(self) -> None:
        """Let another daemon ask at once."""
        try:
            async with asyncio.timeout(LETTING_GO_SECONDS):
                await self._database.fetch("bot_let_go", self._id)
        except (StocksyncError, TimeoutError):
            log.debug("bot.left_unsaid")
