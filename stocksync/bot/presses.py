"""Presses: what the buttons under a message do; twice is harmless, and says so."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from stocksync.alerts import Act, Catalogue
from stocksync.bot.commands import NamesOf
from stocksync.changes import Change, Kind, Phase
from stocksync.database import Database, Record
from stocksync.message import Message
from stocksync.model import DatabaseUnavailable, NotPossible, UnknownOperation
from stocksync.operations import Operations
from stocksync.telemetry import get_logger

log = get_logger()

MUTE_MINUTES = 60
LARGEST_ID = 2**63 - 1
# Rows that are settled between the look and the lock: the next look knows.
LOOKS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a press came to."""

    answer: str
    """For who pressed."""
    message: Message | None
    """The message as it is now; None: it stays as it is."""


class Presses:
    """Does what buttons say; the errors of that pass through."""

    def __init__(
        self, *, database: Database, operations: Operations, catalogue: Catalogue, names: NamesOf
    ) -> None:
        self._database = database
        self._operations = operations
        self._catalogue = catalogue
        self._words = catalogue.words.bot
        self._say = catalogue.speech.text
        self._names = names

    async def press(self, action: str, *, by: str, name: str) -> Outcome:
        """Do `action` by the hand `by`, whom people call `name`."""
        act, ids = _parsed(action)
        changes = await self._changes(ids)
        if act is None or not changes:
            return Outcome(answer=self._words.not_known_any_more, message=None)
        match act:
            case Act.RETRY:
                answer, done = await self._retry(changes, by=by)
            case Act.MUTE:
                answer, done = await self._mute(by=by)
            case Act.PROBE:
                [first] = [change for change in changes if change.id == ids[0]] or changes[:1]
                answer, done = await self._probe(first, changes)
        if done is not None:
            log.info("bot.acted", act=act, by=by, **done)
            noted = json.dumps({"act": act, "by": name, **done}, ensure_ascii=False)
            try:
                await self._database.fetch("bot_noted", ids, noted)
                changes = await self._changes(ids)
            except DatabaseUnavailable:
                # It is done all the same.
                return Outcome(answer=answer, message=None)
        names = await self._names(changes)
        return Outcome(answer=answer, message=self._catalogue.message(changes, names))

    async def _retry(
        self, changes: Sequence[Change], *, by: str
    ) -> tuple[str, dict[str, Any] | None]:
        told = [UUID(each) for change in changes for each in _operation_ids(change)]
        retried = await self._retry_failed(told, by=by)
        if not retried:
            return self._words.nothing_to_retry, None
        lines = [self._say(self._words.acts[Act.RETRY], rows=retried)]
        if passed_over := len(set(told)) - retried:
            lines.append(self._say(self._words.passed_over, rows=passed_over))
        count = sum(int(change.facts.get("count", 0)) for change in changes)
        if (others := count - len(told)) > 0:
            lines.append(self._say(self._words.not_listed, rows=others))
        return "\n".join(lines), {"rows": retried}

    async def _retry_failed(self, ids: Sequence[UUID], *, by: str) -> int:
        """Retry those that are still failed; gives how many."""
        for look in range(1, LOOKS + 1):
            failed = [row["id"] for row in await self._database.fetch("bot_still_failed", ids)]
            if not failed:
                return 0
            try:
                return len(await self._operations.retry(failed, by=by))
            except (NotPossible, UnknownOperation):
                if look == LOOKS:
                    raise
        return 0

    async def _mute(self, *, by: str) -> tuple[str, dict[str, Any] | None]:
        until = await self._database.fetchval("bot_mute", MUTE_MINUTES, by)
        if until is not None:
            answer = self._say(self._words.acts[Act.MUTE], until=until)
            return answer, {"until": until.isoformat()}
        telegram = await self._database.fetchrow("telegram")
        assert telegram is not None  # noqa: S101 - it has one row
        # Just over, if it is no more.
        until = telegram["muted_until"]
        return self._say(self._words.muted_already, until=until or ""), None

    async def _probe(
        self, change: Change, changes: Sequence[Change]
    ) -> tuple[str, dict[str, Any] | None]:
        names = await self._names(changes)
        account = self._catalogue.account(change.token_id, names)
        if await self._database.fetchrow("probe_now", change.token_id) is None:
            return self._say(self._words.not_parked, account=account), None
        await self._database.fetch("wake", self._database.schema)
        answer = self._say(self._words.acts[Act.PROBE], account=account)
        return answer, {"token_id": change.token_id}

    async def _changes(self, ids: Sequence[int]) -> list[Change]:
        return [_change(row) for row in await self._database.fetch("bot_changes", ids)]


def _parsed(action: str) -> tuple[Act | None, list[int]]:
    """The act and the changes; nothing for what no button of ours says."""
    act, _, numbers = action.partition(":")
    ids = [each for each in numbers.split(",") if each.isascii() and each.isdigit()]
    if act not in list(Act) or not ids:
        return None, []
    return Act(act), [min(int(each), LARGEST_ID) for each in ids]


def _change(row: Record) -> Change:
    return Change(
        id=row["id"],
        at=row["at"],
        kind=Kind(row["kind"]),
        phase=Phase(row["phase"]),
        token_id=row["token_id"],
        facts=json.loads(row["facts"]),
    )


def _operation_ids(change: Change) -> list[str]:
    return change.facts.get("operation_ids", []) if change.kind is Kind.FAILED else []
