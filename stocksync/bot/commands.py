"""Commands: what people write, and what they are answered."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from uuid import UUID

from stocksync.alerts import MARKS, Catalogue, line_of
from stocksync.changes import EXAMPLES, Change, Kind, Phase
from stocksync.message import Bold, Code, Message, Part
from stocksync.model import Status
from stocksync.operations import Operation, Operations, Page
from stocksync.telemetry import get_logger
from stocksync.timers import Timers
from stocksync.verdict import Limits, Standing

log = get_logger()

NamesOf = Callable[[Sequence[Change]], Awaitable[Mapping[str, str]]]
LONGEST_REASON = 300
MOST_IDS = 50
"""Of one command; more do not fit into a message of Telegram's anyway."""


class Commands:
    """Answers commands; the errors of what they do pass through."""

    def __init__(
        self,
        *,
        operations: Operations,
        timers: Timers,
        catalogue: Catalogue,
        names: NamesOf,
        limits: Limits,
    ) -> None:
        self._operations = operations
        self._timers = timers
        self._catalogue = catalogue
        self._speech = catalogue.speech
        self._words = catalogue.words.bot
        self._names = names
        self._limits = limits

    async def answer(self, command: str, argument: str, *, by: str) -> Message | None:
        """What to say to `/command argument`; None: it is none of ours."""
        match command:
            case "status":
                return await self._status()
            case "failed":
                return await self._failed()
            case "retry":
                return await self._retry(argument, by=by)
            case "reconcile":
                return await self._reconcile(by=by)
            case "help" | "start":
                return said(self._words.help)
        return None

    async def _status(self) -> Message:
        standing = await self._operations.status(limits=self._limits)
        title = self._words.verdicts[standing.verdict]
        lines = [f"\n{line}" for line in self._lines(standing)]
        return said(f"{MARKS[standing.verdict]} ", Bold(title), *lines)

    def _lines(self, standing: Standing) -> list[str]:
        words, say, numbers = self._words, self._speech.text, standing.numbers
        lines = [
            say(words.status_reason, reason=line_of(reason, LONGEST_REASON))
            for reason in standing.reasons
        ]
        lines.append(
            say(
                words.status_rows,
                pending=numbers.pending,
                processing=numbers.processing,
                lately=numbers.completed_lately,
            )
        )
        if (seconds := numbers.oldest_due_seconds) is not None:
            lines.append(say(words.status_oldest, seconds=seconds))
        if numbers.failed:
            lines.append(say(words.status_failed, rows=numbers.failed))
        telegram = standing.telegram
        if telegram.muted_until is not None:
            by = line_of(telegram.muted_by or "", LONGEST_REASON)
            lines.append(say(words.status_muted, until=telegram.muted_until, by=by))
        return lines

    async def _failed(self) -> Message:
        page = await self._operations.list_operations(status=Status.FAILED, limit=EXAMPLES)
        if not page.operations:
            return said(self._words.none_failed)
        change = _as_change(page)
        names = await self._names([change])
        # The same words as when it happened.
        message = await asyncio.to_thread(self._catalogue.message, [change], names)
        parts: list[Part] = [*message.parts, f"\n{self._words.failed_how}"]
        for operation in page.operations:
            parts += ["\n", Code(f"/retry {operation.id}")]
        return said(*parts)

    async def _retry(self, argument: str, *, by: str) -> Message:
        try:
            ids = [UUID(each) for each in argument.split()[:MOST_IDS]]
        except ValueError:
            ids = []
        if not ids:
            return said(self._words.which_id)
        retried = await self._operations.retry(ids, by=by)
        log.info("bot.acted", act="retry", by=by, operations=len(retried))
        return said(self._speech.text(self._words.acts["retry"], rows=len(retried)))

    async def _reconcile(self, *, by: str) -> Message:
        if not await self._timers.ask("reconcile", by=by):
            return said(self._words.reconcile_unknown, "\n", Code("stocksync reconcile"))
        log.info("bot.acted", act="reconcile", by=by)
        return said(self._words.reconcile_asked)


def said(*parts: Part) -> Message:
    """A message of these parts."""
    return Message(parts=parts)


def _as_change(page: Page) -> Change:
    return Change(
        at=page.now,
        kind=Kind.FAILED,
        phase=Phase.HAPPENED,
        facts={
            "count": page.total,
            "failed_now": page.total,
            "examples": [_as_example(operation) for operation in page.operations],
        },
    )


def _as_example(operation: Operation) -> dict[str, str | None]:
    return {
        "operation_id": str(operation.id),
        "token_id": operation.token_id,
        "order_id": operation.order_id,
        "error": operation.error_message,
    }
