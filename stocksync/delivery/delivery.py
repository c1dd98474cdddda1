"""Delivery: one daemon at a time tells each chat what it lacks, and notes that it has it."""

import asyncio
import time
from collections import Counter
from collections.abc import Collection, Coroutine, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from stocksync.alerts import Catalogue
from stocksync.backoff import Backoff
from stocksync.database import Database
from stocksync.delivery.ledger import Ledger, Turn, Unsent
from stocksync.delivery.names import Names
from stocksync.delivery.parcels import Parcel, parcels
from stocksync.delivery.refusals import Refusals
from stocksync.delivery.silences import Silences
from stocksync.delivery.wording import Wording
from stocksync.message import Message
from stocksync.model import StocksyncError
from stocksync.telegram import Flooded, Telegram, TelegramRefused, TelegramUnavailable, Unsendable
from stocksync.telemetry import get_logger

log = get_logger()

REST_SECONDS = 2.0
"""How often to look without being woken: another daemon's monitor may have seen the change."""
LEASE_SECONDS = 60.0
"""One sender over all daemons; who was killed is followed by another so much later."""
NEEDED_SECONDS = 45.0
"""Of the lease, to begin a message: names and words, and four calls (a group that moved, with its
picture, without, plain)."""
GAP_SECONDS, MOST_AT_ONCE = 6.0, 10
"""Ten messages at once, and then one every six seconds: never more than the twenty a minute that
Telegram takes to a group (core.telegram.org/bots/faq)."""
LONGEST_PAUSE_SECONDS = 86_400.0
"""Telegram's own last minutes; more than a day is a mistake of somebody in between."""
LAST_SECONDS = 5.0
"""What is being told when the daemon stops is told to its end, or it would be told again."""
RELEASE_SECONDS = 2.0
"""A stopping daemon waits no longer for a database to say that it sends no more: a lease ends."""


class Delivery:
    """Tells changes in `chats`, critical ones in `critical_chats` (README: "Telegram").

    Wake its loop when there is something new. Raises `DatabaseUnavailable`; what Telegram does or
    does not is its own affair.
    """

    def __init__(
        self,
        *,
        database: Database,
        telegram: Telegram,
        catalogue: Catalogue,
        names: Names,
        chats: Sequence[str],
        critical_chats: Sequence[str],
        thread_id: int | None = None,
        backoff: Backoff | None = None,
        refusals: Refusals | None = None,
    ) -> None:
        self._telegram = telegram
        self._wording = Wording(catalogue=catalogue, names=names)
        self._thread_id = thread_id
        self._ledger = Ledger(database=database, chats=chats, critical_chats=critical_chats)
        self._silences = Silences(backoff=backoff or Backoff(initial_seconds=2, max_seconds=60))
        self._refusals = refusals or Refusals()
        self._has_begun = False
        self._flooded_chat = ""
        self._told: list[Parcel] = []

    async def tick(self) -> float:
        """Tell what there is to tell; gives the seconds to rest."""
        await self._begin()
        await self._note()
        sent: Counter[str] = Counter()
        is_mine = True
        lease_until = time.monotonic() + LEASE_SECONDS
        resting = self._refusals.resting | self._silences.resting
        try:
            turn = await self._ledger.claim(lease_seconds=LEASE_SECONDS, resting=resting)
            if turn is None:
                is_mine = False
                return REST_SECONDS
            unsent = await self._ledger.unsent(resting=resting)
            return await self._tell_all(unsent, turn, sent, lease_until)
        finally:
            # Also when it was stopped before it knew.
            if is_mine:
                await self._release(messages=max(sent.values(), default=0))

    async def _release(self, *, messages: int) -> None:
        with suppress(StocksyncError, TimeoutError):
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._ledger.release(messages=messages, gap_seconds=GAP_SECONDS)

    async def _tell_all(
        self, unsent: Sequence[Unsent], turn: Turn, sent: Counter[str], lease_until: float
    ) -> float:
        """Tell each chat what it lacks, as far as it goes; gives the seconds to rest."""
        most = max(0, int(MOST_AT_ONCE - turn.paced_seconds / GAP_SECONDS))
        for chat in self._in_turn({chat for each in unsent for chat in each.chats}):
            is_failing = self._silences.failures(chat) > 0 or chat in self._refusals
            for parcel in parcels(unsent, chat=chat, most=most, is_failing=is_failing):
                if time.monotonic() + NEEDED_SECONDS > lease_until:
                    return 0.0
                try:
                    await _to_its_end(self._tell(parcel))
                except Flooded as error:
                    self._flooded_chat = chat
                    await self._pause(error, unsent)
                    return REST_SECONDS
                except (TelegramRefused, TelegramUnavailable) as error:
                    await self._rest(parcel, error)
                    break
                sent[chat] += 1
            if self._silences.is_everywhere:
                # A Telegram that is away costs a call now and then, however many chats wait.
                break
        if turn.refused is not None and sent and self._refusals.summary is None:
            await self._ledger.refused(None)
        return REST_SECONDS

    def _in_turn(self, chats: Collection[str]) -> list[str]:
        """Those first that answer: a silent or a flooded one takes the time of the others."""
        failures = self._silences.failures
        return sorted(chats, key=lambda chat: (chat == self._flooded_chat, failures(chat), chat))

    async def _tell(self, parcel: Parcel) -> None:
        message = await self._wording.of(parcel.changes, is_merged=parcel.is_merged)
        await self._send(parcel, message)
        self._told.append(parcel)
        self._refusals.forget(parcel.chat)
        self._silences.forget(parcel.chat)
        await self._note()

    async def _send(self, parcel: Parcel, message: Message) -> None:
        """Send it; what is not taken goes without its picture, as plain text, or not at all."""
        reason = ""
        for form in _forms(message):
            try:
                await self._telegram.send(parcel.chat, form, thread_id=self._thread_id)
            except Unsendable as error:
                reason = str(error)
            except (TelegramRefused, TelegramUnavailable) as error:
                # A group may forbid pictures alone, and a line be too slow for them alone.
                if form.picture is None:
                    raise
                reason = str(error)
            else:
                if reason:
                    log.warning("delivery.unsendable", chat=parcel.chat, reason=reason)
                return
        log.error("delivery.dropped", chat=parcel.chat, reason=reason, text=message.text)

    async def _note(self) -> None:
        """Note what was told, also if the database was away when it was."""
        while self._told:
            await self._ledger.told(self._told[0].ids, self._told[0].chat)
            del self._told[0]

    async def _pause(self, error: Flooded, unsent: Sequence[Unsent]) -> None:
        pause_seconds = min(error.retry_after_seconds, LONGEST_PAUSE_SECONDS)
        log.warning("delivery.flooded", pause_seconds=pause_seconds)
        await self._ledger.tried([each.id for each in unsent])
        await self._ledger.flooded(pause_seconds)

    async def _rest(self, parcel: Parcel, error: TelegramRefused | TelegramUnavailable) -> None:
        """Let the chat rest: until then it is tried with what is new, and with nothing else."""
        if isinstance(error, TelegramRefused):
            self._silences.forget(parcel.chat)
            self._refusals.note(parcel.chat, str(error))
            await self._ledger.refused(self._refusals.summary)
        else:
            self._silences.note(parcel.chat, str(error))
        await self._ledger.tried(parcel.ids)

    async def _begin(self) -> None:
        """Start with the settings of now: chats may have gone, and what was refused be mended."""
        if not self._has_begun:
            await self._ledger.close()
            await self._ledger.refused(None)
            self._has_begun = True


def _forms(message: Message) -> Iterator[Message]:
    """From what we would like to what Telegram takes if it takes anything."""
    yield message
    if message.picture is not None:
        yield replace(message, picture=None)
    yield Message(parts=(message.text,))


async def _to_its_end(telling: Coroutine[Any, Any, None]) -> None:
    """Await it; cancelled, let it end first, if it does so soon."""
    task = asyncio.create_task(telling)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=LAST_SECONDS)
        if not task.cancel():
            task.cancelled() or task.exception()  # looked at: nobody else will
        raise
