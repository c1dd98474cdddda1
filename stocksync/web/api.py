"""The API: what people and programs ask of the outbox, and what they do to it."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

from stocksync.model import NotPossible, Status
from stocksync.operations import Operations
from stocksync.timers import Timers
from stocksync.web import documents
from stocksync.web.accounts import Accounts
from stocksync.web.answers import Answer, answer
from stocksync.web.desk import Desk, Glance
from stocksync.web.questions import Questions
from stocksync.web.routes import Call

T = TypeVar("T")

# The timer of this name (`daemon.timetable`).
RECONCILE = "reconcile"


class Api:
    """Answers calls that may be served. `wake` has this daemon look for what was made due."""

    def __init__(
        self,
        *,
        desk: Desk,
        glance: Glance,
        questions: Questions,
        operations: Operations,
        timers: Timers,
        accounts: Accounts,
        wake: Callable[[], None],
    ) -> None:
        self._desk = desk
        self._glance = glance
        self._questions = questions
        self._operations = operations
        self._timers = timers
        self._accounts = accounts
        self._wake = wake

    # --- to read ---------------------------------------------------------------------------------

    async def status(self, _: Call) -> Answer:
        """How the outbox stands, not older than a few seconds."""
        return answer(documents.status(await self._glance.standing(), self._accounts.name))

    async def list_operations(self, call: Call) -> Answer:
        """Operations that match, and the count of all that do."""
        values = call.values
        return await self._asked(
            lambda: self._operations.list_operations(
                status=values["status"] and Status(values["status"]),
                token_id=values["token_id"],
                order_id=values["order_id"],
                limit=values["limit"],
                offset=values["offset"],
            ),
            lambda page: documents.page(page, self._accounts.name),
        )

    async def show(self, call: Call) -> Answer:
        """One operation."""
        operation_id = call.values["id"]
        return await self._asked(
            lambda: self._questions.operation(operation_id),
            lambda told: documents.operation(told, self._accounts.name),
        )

    async def show_order(self, call: Call) -> Answer:
        """One order."""
        order_id, token_id = call.values["order_id"], call.values["token_id"]
        return await self._asked(
            lambda: self._questions.order(order_id, token_id),
            lambda told: documents.orders(told, self._accounts.name),
        )

    async def errors(self, _: Call) -> Answer:
        """Why operations failed."""
        return await self._asked(
            self._questions.failures,
            lambda found: documents.failures(found, self._accounts.name),
        )

    async def history(self, call: Call) -> Answer:
        """What was done, for charts."""
        hours = call.values["hours"]
        return await self._asked(lambda: self._questions.history(hours), documents.history)

    async def _asked(
        self, question: Callable[[], Awaitable[T]], shape: Callable[[T], Mapping[str, Any]]
    ) -> Answer:
        async def shaped() -> Answer:
            found = await question()
            self._accounts.learn()
            return answer(shape(found))

        # Shaped at the desk: what that takes is part of the question's cost.
        return await self._desk.ask(shaped)

    # --- to act ----------------------------------------------------------------------------------

    async def reconcile(self, call: Call) -> Answer:
        """Ask for a turn; a daemon's loop has it."""
        token_id = call.values["token_id"]
        of = {} if token_id is None else {"token_id": token_id}
        is_known = await self._desk.ask(lambda: self._timers.ask(RECONCILE, by=_hand(call), of=of))
        if not is_known:
            raise NotPossible("no daemon reconciles (STOCK_SYNC_RECONCILIATION_ENABLED)")
        self._changed()
        return answer({"status": "queued"}, status=HTTPStatus.ACCEPTED)

    async def retry(self, call: Call) -> Answer:
        """Make an operation due now."""
        operation_id = call.values["id"]
        await self._desk.ask(lambda: self._operations.retry([operation_id], by=_hand(call)))
        self._changed()
        return answer(documents.acted("it is tried again now", operation_id))

    async def cancel(self, call: Call) -> Answer:
        """Take an operation out of its order's sum."""
        operation_id, reason = call.values["id"], call.values["reason"]
        await self._desk.ask(
            lambda: self._operations.cancel([operation_id], by=_hand(call), reason=reason)
        )
        self._changed()
        return answer(
            documents.acted("it is cancelled, and its order is pushed again", operation_id)
        )

    def _changed(self) -> None:
        self._glance.forget()
        self._wake()


def _hand(call: Call) -> str:
    return f"http:{call.peer}"
