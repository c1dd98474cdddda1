"""Ledger: who was told what, as all daemons share it; a method is a statement."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import uuid4

from stocksync.changes import CRITICAL, Change, Kind, Phase
from stocksync.database import Database, Record

MOST_CHANGES = 200
"""In one turn; as many as fit into memory with their facts, and more than anybody reads."""

_KINDS, _PHASES = frozenset(map(str, Kind)), frozenset(map(str, Phase))


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """The right to send, until the lease ends."""

    refused: str | None
    """Why Telegram takes nothing, as it was last noted."""
    paced_seconds: float
    """By so much are the messages of late ahead of their pace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsent:
    """A change that a chat lacks."""

    id: int
    change: Change
    chats: frozenset[str]
    """That lack it."""
    is_late: bool
    """It could not be told when it happened."""
    was_tried: bool
    """To tell it was tried, in this chat or another, and failed."""


class Ledger:
    """Changes that are to be told in `chats`, critical ones in `critical_chats`."""

    def __init__(
        self, *, database: Database, chats: Sequence[str], critical_chats: Sequence[str]
    ) -> None:
        self._database = database
        self._chats = frozenset(chats)
        self._critical_chats = frozenset(critical_chats)
        self._wanted = (sorted(map(str, CRITICAL)), sorted(critical_chats), sorted(chats))
        self._id = uuid4()

    async def claim(self, *, lease_seconds: float, resting: Collection[str]) -> Turn | None:
        """Take the right to send; None: nothing to send, or not now, or somebody else does."""
        row = await self._database.fetchrow(
            "changes_claim", self._id, lease_seconds, *self._wanted, sorted(resting)
        )
        return None if row is None else Turn(**row)

    async def release(self, *, messages: int, gap_seconds: float) -> None:
        """Give the right back, and count the messages towards the pace."""
        await self._database.fetch("telegram_release", self._id, messages, gap_seconds)

    async def unsent(self, *, resting: Collection[str]) -> list[Unsent]:
        """What a chat lacks, oldest first; one that rests, only as far as it was never tried."""
        rows = await self._database.fetch(
            "changes_unsent", *self._wanted, sorted(resting), MOST_CHANGES
        )
        # Kinds of a newer version are for its own daemons to tell.
        return [
            self._unsent(row, resting=resting)
            for row in rows
            if row["kind"] in _KINDS and row["phase"] in _PHASES
        ]

    async def told(self, ids: Collection[int], chat: str) -> None:
        """The chat has them."""
        await self._database.fetch("changes_told", sorted(ids), chat, *self._wanted)

    async def tried(self, ids: Collection[int]) -> None:
        """They could not be told."""
        await self._database.fetch("changes_tried", sorted(ids))

    async def close(self) -> None:
        """Close what no chat of the settings waits for."""
        await self._database.fetch("changes_close", *self._wanted)

    async def flooded(self, pause_seconds: float) -> None:
        """Nobody sends before this pause is over."""
        await self._database.fetch("telegram_flooded", pause_seconds)

    async def refused(self, reason: str | None) -> None:
        """Note why Telegram takes nothing; None: it does."""
        await self._database.fetch("telegram_refused", reason)

    def _unsent(self, row: Record, *, resting: Collection[str]) -> Unsent:
        change = Change(
            id=row["id"],
            at=row["at"],
            kind=Kind(row["kind"]),
            phase=Phase(row["phase"]),
            token_id=row["token_id"],
            facts=json.loads(row["facts"]),
        )
        wanted = self._critical_chats if change.is_critical else self._chats
        passed_over = frozenset(resting) if row["was_tried"] else frozenset[str]()
        return Unsent(
            id=row["id"],
            change=change,
            chats=wanted - frozenset(row["sent_to"]) - passed_over,
            is_late=row["is_late"],
            was_tried=row["was_tried"],
        )
