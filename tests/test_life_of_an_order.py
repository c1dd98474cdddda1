"""All that can happen to an order, as a state machine: no row lost, one claim, the right flag."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from stocksync.database import Database
from stocksync.model import NotPossible, Outcome, Push
from stocksync.operations import Operations
from stocksync.store import Rescued, Store
from tests.outbox import Outbox, account
from tests.settling import DONE, REFUSED, RETRY, TIMEOUT, claim, settle

T = TypeVar("T")
Order = tuple[str, str]
QUANTITIES = {
    "deduction": st.integers(1, 3),
    "refund": st.integers(1, 3),
    "adjustment": st.sampled_from([-2, -1, 1, 2]),
}
OPERATIONS = st.sampled_from(sorted(QUANTITIES)).flatmap(
    lambda name: st.tuples(st.just(name), QUANTITIES[name])
)


class LifeOfAnOrder(RuleBasedStateMachine):
    """Acts on the real tables, and keeps its own simple picture of what must be so."""

    dsn: str

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.live: list[Push] = []
        self.zombies: list[Push] = []
        self.flags: dict[Order, bool] = {}
        self.inserted: dict[UUID, tuple[Order, int]] = {}
        self.run(self._open())

    async def _open(self) -> None:
        self.outbox = Outbox(await asyncpg.connect(self.dsn))
        self.database = await Database(url=self.dsn).__aenter__()
        self.store = Store(database=self.database, by="a machine")
        self.operations = Operations(database=self.database)
        await self.outbox.connection.execute(
            "TRUNCATE pending_stock_operations, stock_synchronization_logs, stock_sync_orders"
        )

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(what)

    # --- what can happen -------------------------------------------------------------------------

    @rule(number=st.integers(1, 2), order=st.sampled_from("ab"), operation=OPERATIONS)
    def insert(self, number: int, order: str, operation: tuple[str, int]) -> None:
        operation_type, quantity = operation
        row_id = self.run(
            self.outbox.insert(
                order, account(number), operation_type=operation_type, quantity=quantity
            )
        )
        effect = -quantity if operation_type == "refund" else quantity
        self.inserted[row_id] = ((account(number), order), effect)

    @rule(limit=st.integers(1, 4))
    def claim(self, limit: int) -> None:
        pushes = self.run(claim(self.store, limit))
        held = {(p.token_id, p.order_id) for p in self.live}
        for push in pushes:
            assert (push.token_id, push.order_id) not in held, "two claims of one order"
        self.live += pushes

    @precondition(lambda self: self.live)
    @rule(outcome=st.sampled_from([DONE, RETRY, TIMEOUT, REFUSED]), choice=st.integers(0))
    def settle(self, outcome: Outcome, choice: int) -> None:
        push = self.live.pop(choice % len(self.live))
        if outcome is DONE:
            self.flags[push.token_id, push.order_id] = push.flag
        assert self.run(settle(self.store, [push], outcome)) == 0

    @precondition(lambda self: self.live)
    @rule(choice=st.integers(0))
    def release(self, choice: int) -> None:
        self.run(self.store.release([self.live.pop(choice % len(self.live))]))

    @rule()
    def expire(self) -> None:
        async def expire() -> Rescued:
            await self.outbox.expire_leases()
            return await self.store.rescue()

        rescued = self.run(expire())
        assert rescued.row_count == sum(len(push.rows) for push in self.live)
        self.zombies += self.live
        self.live = []

    @precondition(lambda self: self.zombies)
    @rule(outcome=st.sampled_from([DONE, RETRY]), choice=st.integers(0))
    def awake_as_a_zombie(self, outcome: Outcome, choice: int) -> None:
        push = self.zombies.pop(choice % len(self.zombies))
        before = self.run(self.outbox.rows())
        assert self.run(settle(self.store, [push], outcome)) == len(push.rows)
        assert self.run(self.outbox.rows()) == before

    @precondition(lambda self: self.inserted)
    @rule(choice=st.integers(0))
    def cancel(self, choice: int) -> None:
        row_id = sorted(self.inserted)[choice % len(self.inserted)]
        try:
            self.run(self.operations.cancel([row_id], by="a machine", reason=None))
        except NotPossible:
            assert self._status(row_id) not in {"pending", "failed"}
        else:
            assert self._status(row_id) == "cancelled"

    @precondition(lambda self: self.inserted)
    @rule(choice=st.integers(0))
    def retry(self, choice: int) -> None:
        row_id = sorted(self.inserted)[choice % len(self.inserted)]
        try:
            self.run(self.operations.retry([row_id], by="a machine"))
        except NotPossible:
            assert self._status(row_id) not in {"pending", "failed"}
        else:
            assert self._status(row_id) == "pending"

    @rule()
    def let_time_pass(self) -> None:
        self.run(self.outbox.make_due())

    # --- what must be so -------------------------------------------------------------------------

    @invariant()
    def no_row_is_lost_and_only_the_live_are_processing(self) -> None:
        rows = self.run(self.outbox.rows())
        assert {row["id"] for row in rows} == set(self.inserted)
        processing = {row["id"] for row in rows if row["status"] == "processing"}
        assert processing == {row.id for push in self.live for row in push.rows}

    def teardown(self) -> None:
        if not hasattr(self, "runner"):
            return
        try:
            self._drain_and_check()
        finally:
            self.run(self.database.__aexit__())
            self.run(self.outbox.connection.close())
            self.runner.close()

    def _drain_and_check(self) -> None:
        self.expire()
        self.let_time_pass()
        while pushes := self.run(claim(self.store)):
            for push in pushes:
                self.flags[push.token_id, push.order_id] = push.flag
            self.run(settle(self.store, pushes))
        rows = self.run(self.outbox.rows())
        unfinished = {
            (row["token_id"], row["order_id"]) for row in rows if row["status"] == "failed"
        }
        balances = dict.fromkeys((order for order, _ in self.inserted.values()), 0)
        for row in rows:
            order, effect = self.inserted[row["id"]]
            balances[order] += 0 if row["status"] == "cancelled" else effect
            assert row["status"] in {"completed", "cancelled", "failed"}
        for order, balance in balances.items():
            if order not in unfinished:
                assert self.flags[order] == (balance > 0)

    def _status(self, row_id: UUID) -> str:
        return str(self.run(self.outbox.row(row_id))["status"])


@pytest.mark.usefixtures("server")
def test_whatever_happens_no_row_is_lost_and_the_flag_is_right_in_the_end(dsn: str) -> None:
    machine = type("Machine", (LifeOfAnOrder,), {"dsn": dsn})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=40, stateful_step_count=30, deadline=None)
    )
