"""Cleanup: what is over and old goes, whole orders at a time; what it came to is never lost."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from stocksync import telemetry
from stocksync.cleanup import Cleaned, Cleanup
from stocksync.database import Database
from stocksync.model import NotPossible, Outcome, Status, UnknownOperation
from stocksync.operations import Operations
from stocksync.store import Store
from tests.outbox import ACCOUNT, OTHER_ACCOUNT, Outbox
from tests.relaying import until_somebody_waits
from tests.settling import DONE, REFUSED, claim, settle
from tests.test_query_plans import pages

COMPLETED_DAYS, FAILED_DAYS, BALANCE_DAYS = 30, 90, 400
OVER = 31  # days: older than what is completed is kept
BATCH = f"SELECT * FROM stock_sync_cleanup($1, $2, {COMPLETED_DAYS}, {FAILED_DAYS}, {BALANCE_DAYS})"
TABLES = (
    "pending_stock_operations",
    "stock_synchronization_logs",
    "stock_sync_orders",
    "stock_sync_minutes",
    "stock_sync_changes",
)

Connection = asyncpg.Connection


@pytest.fixture
def cleanup(database: Database) -> Cleanup:
    return of_days(database)


@pytest.fixture
async def another(dsn: str) -> AsyncIterator["Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close()


def of_days(
    database: Database, completed_days: int = COMPLETED_DAYS, failed_days: int = FAILED_DAYS
) -> Cleanup:
    return Cleanup(
        database=database,
        completed_days=completed_days,
        failed_days=failed_days,
        balance_days=BALANCE_DAYS,
    )


async def age(outbox: Outbox, days: float = OVER, order_id: str | None = None) -> None:
    """Move time instead of waiting: all that happened so far happened earlier."""
    await outbox.connection.execute(
        "WITH older AS (UPDATE pending_stock_operations"
        "   SET completed_at = completed_at - $1 * interval '1 day',"
        "       updated_at = updated_at - $1 * interval '1 day'"
        "   WHERE $2::text IS NULL OR order_id = $2 RETURNING id)"
        ' UPDATE stock_synchronization_logs SET "timestamp" = "timestamp" - $1 * interval \'1 day\''
        " WHERE operation_id IN (SELECT id FROM older)",
        float(days),
        order_id,
    )


async def complete(outbox: Outbox, store: Store, order_id: str = "order", **columns: Any) -> UUID:  # noqa: ANN401 - any column
    row_id = await outbox.insert(order_id, **columns)
    await settle(store, await claim(store), DONE)
    return row_id


async def fail(outbox: Outbox, store: Store, order_id: str = "order", **columns: Any) -> UUID:  # noqa: ANN401 - any column
    row_id = await outbox.insert(order_id, **columns)
    await settle(store, await claim(store), REFUSED)
    return row_id


async def cancelled(outbox: Outbox, database: Database, order_id: str = "order") -> UUID:
    row_id = await outbox.insert(order_id)
    await Operations(database=database).cancel([row_id], by="a test")
    await push_again(outbox)
    return row_id


async def push_again(outbox: Outbox) -> None:
    """What a cancel asked for is done."""
    await outbox.connection.execute("DELETE FROM stock_sync_orders WHERE balance = 0")


async def order_ids(outbox: Outbox) -> set[str]:
    return {row["order_id"] for row in await outbox.rows()}


async def carried(outbox: Outbox) -> dict[str, int]:
    rows = await outbox.connection.fetch("SELECT order_id, balance FROM stock_sync_orders")
    return {row["order_id"]: row["balance"] for row in rows}


async def balance(outbox: Outbox, order_id: str = "order", token_id: str = ACCOUNT) -> int:
    """The order's balance by THE definition."""
    value: int = await outbox.connection.fetchval(
        "SELECT balance FROM stock_sync_order($1, $2)", token_id, order_id
    )
    return value


# --- what goes, what stays -----------------------------------------------------------------------


async def test_an_old_order_goes_with_its_log(
    cleanup: Cleanup, outbox: Outbox, store: Store
) -> None:
    await outbox.insert_orders(3, units=2)
    await settle(store, await claim(store))
    await age(outbox)
    cleaned = await cleanup.run()
    assert (cleaned.orders, cleaned.completed, cleaned.operations) == (3, 6, 6)
    assert await outbox.rows() == []
    assert not await outbox.connection.fetchval("SELECT count(*) FROM stock_synchronization_logs")
    assert (await cleanup.run()).is_nothing


@pytest.mark.parametrize(
    ("status", "days", "goes"),
    [
        ("completed", 29, False),
        ("completed", 31, True),
        ("cancelled", 29, False),
        ("cancelled", 31, True),
        ("failed", 31, False),
        ("failed", 89, False),
        ("failed", 91, True),
        ("pending", 1000, False),
        ("processing", 1000, False),
    ],
)
async def test_each_status_has_its_days(
    cleanup: Cleanup,
    database: Database,
    outbox: Outbox,
    store: Store,
    status: str,
    days: int,
    goes: bool,
) -> None:
    if status == "cancelled":
        await cancelled(outbox, database)
    elif status == "completed":
        await complete(outbox, store)
    else:
        await fail(outbox, store)
        if status != "failed":
            [failed] = await outbox.rows()
            await Operations(database=database).retry([failed["id"]], by="a test")
        if status == "processing":
            await claim(store)
    await age(outbox, days)
    assert set(await outbox.statuses()) == {status}
    cleaned = await cleanup.run()
    assert ((cleaned.orders, await outbox.statuses()) == (1, {})) is goes
    assert (cleaned.operations == 0) is not goes


@pytest.mark.parametrize("stays", ["a young row", "a pending row", "a failed row"])
async def test_the_rows_of_an_order_go_together_or_stay(
    cleanup: Cleanup, outbox: Outbox, store: Store, stays: str
) -> None:
    for _ in range(3):
        await complete(outbox, store)
    if stays == "a failed row":
        await fail(outbox, store)
    await age(outbox)
    if stays == "a young row":
        await complete(outbox, store)
    elif stays == "a pending row":
        await outbox.insert()
    assert (await cleanup.run()).is_nothing
    assert len(await outbox.rows()) == 4


async def test_an_order_is_of_one_account(cleanup: Cleanup, outbox: Outbox, store: Store) -> None:
    await complete(outbox, store)
    await age(outbox)
    await outbox.insert(token_id=OTHER_ACCOUNT)
    assert (await cleanup.run()).orders == 1
    assert [row["token_id"] for row in await outbox.rows()] == [OTHER_ACCOUNT]


@pytest.mark.parametrize(
    "need",
    [
        "push_due_at = now() + interval '1 day'",
        "ambiguous_at = now() - interval '1 year'",
        "claim_token = gen_random_uuid(), lease_until = now() + interval '1 minute'",
    ],
)
async def test_an_order_in_need_stays(
    cleanup: Cleanup, outbox: Outbox, store: Store, need: str
) -> None:
    await complete(outbox, store)
    await age(outbox)
    await outbox.connection.execute(
        "INSERT INTO stock_sync_orders (order_id, token_id) VALUES ('order', $1)", ACCOUNT
    )
    await outbox.connection.execute(f"UPDATE stock_sync_orders SET {need}")
    assert (await cleanup.run()).is_nothing
    assert (await cleanup.count()).is_nothing
    assert len(await outbox.rows()) == 1


async def test_young_entries_among_old_ones_hold_nothing_up(
    cleanup: Cleanup, outbox: Outbox, store: Store
) -> None:
    # A clock that was wrong for a moment, long ago.
    await complete(outbox, store, "from the future")
    await age(outbox, -1000)
    await complete(outbox, store, "old")
    await age(outbox, order_id="old")
    assert (await cleanup.run()).orders == 1
    assert await order_ids(outbox) == {"from the future"}


# --- the balance ---------------------------------------------------------------------------------


async def test_the_balance_is_carried_over_and_kept_for_its_days(
    cleanup: Cleanup, database: Database, outbox: Outbox, store: Store
) -> None:
    await complete(outbox, store, quantity=3)
    await complete(outbox, store, quantity=1, operation_type="refund")
    await complete(outbox, store, quantity=-1, operation_type="adjustment")
    await cancelled(outbox, database)
    await fail(outbox, store, quantity=4)
    before = await balance(outbox)
    assert before == 5
    await age(outbox, FAILED_DAYS + 1)
    cleaned = await cleanup.run()
    assert (cleaned.completed, cleaned.cancelled, cleaned.failed) == (3, 1, 1)
    assert cleaned.balances_carried == 1
    assert await balance(outbox) == before
    kept_days = await outbox.connection.fetchval(
        "SELECT extract(epoch FROM balance_until - now()) / 86400 FROM stock_sync_orders"
    )
    assert BALANCE_DAYS - 1 < kept_days <= BALANCE_DAYS


async def test_a_balance_of_nothing_leaves_no_row(
    cleanup: Cleanup, outbox: Outbox, store: Store
) -> None:
    await complete(outbox, store)
    await complete(outbox, store, operation_type="refund")
    await age(outbox)
    cleaned = await cleanup.run()
    assert (cleaned.orders, cleaned.balances_carried) == (1, 0)
    assert await carried(outbox) == {}


async def test_refunds_after_cleanup_are_still_right(
    cleanup: Cleanup, outbox: Outbox, store: Store
) -> None:
    await outbox.insert_units(3)
    await settle(store, await claim(store))
    await age(outbox)
    await cleanup.run()
    for left in (2, 1, 0):
        await outbox.insert(operation_type="refund")
        [push] = await claim(store)
        assert (push.balance, push.flag) == (left, left > 0)
        await settle(store, [push])
        if left == 2:
            # Cleaned up in between, or not: it makes no difference.
            await age(outbox)
            assert (await cleanup.run()).balances_carried == 1
    await age(outbox)
    await cleanup.run()
    # All was given back: there is nothing to remember any more.
    assert await carried(outbox) == {}


async def test_more_of_the_same_order_is_added_and_keeps_it_longer(
    cleanup: Cleanup, outbox: Outbox, store: Store
) -> None:
    await complete(outbox, store, quantity=5)
    await age(outbox)
    await cleanup.run()
    await outbox.connection.execute("UPDATE stock_sync_orders SET balance_until = now()")
    # Nothing in sum, and yet somebody was here.
    await complete(outbox, store, quantity=2)
    await complete(outbox, store, quantity=2, operation_type="refund")
    await age(outbox)
    await cleanup.run()
    assert await carried(outbox) == {"order": 5}
    assert (await cleanup.run()).balances_forgotten == 0
    assert await carried(outbox) == {"order": 5}


async def test_a_balance_is_forgotten_when_its_time_is_over(
    cleanup: Cleanup, outbox: Outbox, store: Store
) -> None:
    names = ("over", "with a row", "in need", "young", "by hand")
    for name in names[:4]:
        await complete(outbox, store, name)
    await age(outbox)
    await cleanup.run()
    run = outbox.connection.execute
    await run("UPDATE stock_sync_orders SET balance_until = now() WHERE order_id <> 'young'")
    await run("UPDATE stock_sync_orders SET ambiguous_at = now() WHERE order_id = 'in need'")
    await run(
        "INSERT INTO stock_sync_orders (order_id, token_id, balance) VALUES ('by hand', $1, 2)",
        ACCOUNT,
    )
    await outbox.insert("with a row", operation_type="refund")
    assert (await cleanup.count()).balances_forgotten == 1
    assert (await cleanup.run()).balances_forgotten == 1
    assert set(await carried(outbox)) == set(names) - {"over"}
    assert await balance(outbox, "with a row") == 0


# --- at the same instant -------------------------------------------------------------------------


class Batch:
    """One batch of cleanup in a transaction that a test holds open as long as it likes."""

    def __init__(self, connection: "Connection[asyncpg.Record]") -> None:
        self.connection = connection
        self._transaction = connection.transaction()

    async def run(self, *, after: int = 0, limit: int = 100) -> asyncpg.Record:
        await self._transaction.start()
        row = await self.connection.fetchrow(BATCH, after, limit)
        assert row is not None
        return row

    async def commit(self) -> None:
        await self._transaction.commit()


async def let_it_wait(outbox: Outbox) -> None:
    """Cleanup gives way only after a time that no busy machine lets pass."""
    await outbox.connection.execute("ALTER FUNCTION stock_sync_cleanup SET lock_timeout = '60s'")


async def test_an_insert_and_a_claim_during_a_batch_see_the_balance_once(
    outbox: Outbox, store: Store, another: "Connection[asyncpg.Record]"
) -> None:
    await complete(outbox, store, quantity=3)
    await age(outbox)
    batch = Batch(another)
    assert (await batch.run())["orders"] == 1
    await outbox.insert(operation_type="refund")
    # Before it commits: the rows. Nobody waits for it.
    [push] = await claim(store)
    assert push.balance == 2
    await batch.commit()
    # After it: the number.
    await settle(store, [push])
    assert await balance(outbox) == 2
    await outbox.insert(operation_type="refund", quantity=2)
    [push] = await claim(store)
    assert (push.balance, push.flag) == (0, False)
    await settle(store, [push])
    assert await carried(outbox) == {"order": 3}


async def test_a_row_that_commits_late_is_no_part_of_the_batch(
    cleanup: Cleanup, outbox: Outbox, store: Store, another: "Connection[asyncpg.Record]"
) -> None:
    await complete(outbox, store, quantity=3)
    await age(outbox)
    late = another.transaction()
    await late.start()
    await Outbox(another).insert(operation_type="refund", quantity=3)
    assert (await cleanup.run()).orders == 1
    await late.commit()
    [push] = await claim(store)
    assert (push.balance, push.flag) == (0, False)


async def test_an_order_of_which_somebody_holds_a_row_stays_whole(
    cleanup: Cleanup, outbox: Outbox, store: Store, another: "Connection[asyncpg.Record]"
) -> None:
    for name in ("held", "held", "free"):
        await complete(outbox, store, name)
    await age(outbox)
    async with another.transaction():
        await another.execute(
            "SELECT 1 FROM pending_stock_operations WHERE order_id = 'held'"
            " ORDER BY seq LIMIT 1 FOR KEY SHARE"
        )
        assert (await cleanup.run()).orders == 1
        assert len(await outbox.rows()) == 2
        assert await carried(outbox) == {"free": 1}
    await cleanup.run()
    assert await carried(outbox) == {"held": 2, "free": 1}


async def test_a_retry_by_hand_that_came_first_keeps_its_order(
    cleanup: Cleanup, outbox: Outbox, store: Store, another: "Connection[asyncpg.Record]"
) -> None:
    row_id = await fail(outbox, store)
    await age(outbox, FAILED_DAYS + 1)
    async with another.transaction():
        await another.execute("UPDATE pending_stock_operations SET status = 'pending'")
        assert (await cleanup.run()).is_nothing
    assert (await cleanup.run()).is_nothing
    assert (await outbox.row(row_id))["status"] == "pending"
    assert (await balance(outbox), await carried(outbox)) == (1, {})


async def test_a_retry_by_hand_that_came_second_changes_nothing(
    database: Database, outbox: Outbox, store: Store, another: "Connection[asyncpg.Record]"
) -> None:
    row_id = await fail(outbox, store)
    await age(outbox, FAILED_DAYS + 1)
    operations = Operations(database=database)
    batch = Batch(another)
    assert (await batch.run())["failed"] == 1
    with pytest.raises(NotPossible, match="somebody else is changing it"):
        await operations.retry([row_id], by="a test")
    await batch.commit()
    with pytest.raises(UnknownOperation):
        await operations.retry([row_id], by="a test")
    assert await balance(outbox) == 1


async def test_cleanup_gives_way_to_a_claim_of_the_same_order(
    cleanup: Cleanup, outbox: Outbox, store: Store, another: "Connection[asyncpg.Record]"
) -> None:
    await fail(outbox, store)
    await age(outbox, FAILED_DAYS + 1)
    claiming = another.transaction()
    await claiming.start()
    # Unseen by cleanup; and the claim holds the order's own row, because of the failed one.
    await Outbox(another).insert(quantity=2)
    [claimed, _] = await another.fetch(
        "SELECT * FROM stock_sync_claim(100, gen_random_uuid(), 60, '', '{}', '{}', '{}')"
    )
    assert (claimed["balance"], claimed["is_order_claimed"]) == (3, True)
    assert (await cleanup.run()).is_nothing
    await claiming.commit()
    assert (await cleanup.run()).is_nothing
    assert await balance(outbox) == 3
    assert len(await outbox.rows()) == 2


async def test_a_retry_that_commits_between_look_and_lock_keeps_its_order(
    cleanup: Cleanup, outbox: Outbox, store: Store, another: "Connection[asyncpg.Record]"
) -> None:
    row_id = await fail(outbox, store)
    await age(outbox, FAILED_DAYS + 1)
    await let_it_wait(outbox)
    # A place to stop: whoever looks at a row waits for us.
    await outbox.connection.execute(
        "ALTER FUNCTION stock_sync_is_old RENAME TO is_old; CREATE FUNCTION stock_sync_is_old("
        " o pending_stock_operations, completed_days integer, failed_days integer)"
        " RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1);"
        " RETURN is_old(o, completed_days, failed_days); END $$"
    )
    async with another.transaction():
        await another.execute("SELECT pg_advisory_xact_lock(1)")
        running = asyncio.create_task(cleanup.run())
        await until_somebody_waits(outbox)
        await another.execute("UPDATE pending_stock_operations SET status = 'pending'")
    assert (await running).is_nothing
    assert (await outbox.row(row_id))["status"] == "pending"
    assert (await balance(outbox), await carried(outbox)) == (1, {})


async def test_an_order_that_becomes_in_need_meanwhile_stays_whole(
    cleanup: Cleanup, outbox: Outbox, store: Store, another: "Connection[asyncpg.Record]"
) -> None:
    await complete(outbox, store)
    await age(outbox)
    marking = another.transaction()
    await marking.start()
    await another.execute("SELECT stock_sync_mark_ambiguous($1, '{order}')", [ACCOUNT])
    await let_it_wait(outbox)
    running = asyncio.create_task(cleanup.run())
    await until_somebody_waits(outbox)
    await marking.commit()
    assert (await running).is_nothing
    assert len(await outbox.rows()) == 1
    assert await carried(outbox) == {"order": 0}


async def test_two_at_once_count_nothing_twice(
    database: Database, outbox: Outbox, store: Store
) -> None:
    await outbox.insert_orders(300, units=2)
    while pushes := await claim(store):
        await settle(store, pushes)
    await age(outbox)
    cleaned = await asyncio.gather(*(of_days(database).run() for _ in range(3)))
    assert sum(each.orders for each in cleaned) + (await of_days(database).run()).orders == 300
    assert set((await carried(outbox)).values()) == {2}
    assert await outbox.rows() == []


class Storm:
    """Everybody at work at once; whatever is over is old at once."""

    names = tuple(f"order-{n}" for n in range(30))
    outcomes: tuple[Outcome, ...] = (DONE, DONE, REFUSED)

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox
        self._store = Store(database=database, by="a storm")
        self._operations = Operations(database=database)
        self._dice = random.Random(7)
        self._is_over = False
        # Outside of the tables: what each order must come to.
        self.witness = dict.fromkeys(self.names, 0)
        self.cleaned_operations = 0

    async def rage(self) -> None:
        async with asyncio.timeout(60):
            await asyncio.gather(
                self._insert(), self._push(), self._retry(), self._clean(), self._clean()
            )

    async def _insert(self) -> None:
        inserted = 0
        while inserted < 400 or self.cleaned_operations < 200:
            inserted += 1
            name, quantity = self._dice.choice(self.names), self._dice.randint(1, 3)
            kind = self._dice.choice(["deduction", "refund"])
            await self._outbox.insert(name, quantity=quantity, operation_type=kind)
            self.witness[name] += quantity if kind == "deduction" else -quantity
        self._is_over = True

    async def _push(self) -> None:
        while not self._is_over:
            pushes = await claim(self._store, 4)
            if pushes:
                await settle(self._store, pushes, self._dice.choice(self.outcomes))

    async def _retry(self) -> None:
        while not self._is_over:
            page = await self._operations.list_operations(status=Status.FAILED, limit=1)
            for each in page.operations:
                with suppress(NotPossible, UnknownOperation):
                    await self._operations.retry([each.id], by="a storm")

    async def _clean(self) -> None:
        while not self._is_over:
            cleaned = await of_days(self._database, 0, 0).run()
            self.cleaned_operations += cleaned.operations


async def test_no_balance_is_lost_or_doubled_in_a_storm(
    dsn: str, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stocksync.cleanup.LEAST_REST_SECONDS", 0.001)
    async with Database(url=dsn, max_connections=6) as database:
        storm = Storm(database, outbox)
        await storm.rage()
    assert {name: await balance(outbox, name) for name in storm.names} == storm.witness


# --- batches -------------------------------------------------------------------------------------


async def test_a_batch_is_bounded_and_an_order_never_cut(outbox: Outbox, store: Store) -> None:
    for name, units in (("a", 4), ("b", 4), ("giant", 25), ("c", 1), ("d", 9)):
        await outbox.insert_units(units, name)
        await settle(store, await claim(store))
    await age(outbox)
    after, gone = 0, []
    while after is not None:
        before = await outbox.connection.fetch(
            "SELECT order_id, count(*) AS n FROM pending_stock_operations GROUP BY order_id"
        )
        batch = await outbox.connection.fetchrow(BATCH, after, 10)
        assert batch is not None
        assert batch["next_after"] is None or batch["next_after"] > after
        after = batch["next_after"]
        left = await order_ids(outbox)
        gone.append({row["order_id"]: row["n"] for row in before if row["order_id"] not in left})
    assert gone == [{"a": 4, "b": 4}, {"giant": 25}, {"c": 1, "d": 9}, {}]


async def test_what_stays_is_read_once_in_a_run(outbox: Outbox, store: Store) -> None:
    await outbox.insert_orders(30)
    await settle(store, await claim(store))
    await outbox.connection.execute(
        "INSERT INTO stock_sync_orders (order_id, token_id, ambiguous_at)"
        " SELECT DISTINCT order_id, token_id, now() FROM pending_stock_operations"
    )
    await age(outbox)
    after, steps = 0, []
    while after is not None:
        steps.append(after)
        batch = await outbox.connection.fetchrow(BATCH, after, 10)
        assert batch is not None
        assert batch["orders"] == 0
        after = batch["next_after"]
    assert len(steps) == 4


async def test_a_run_that_is_cancelled_leaves_whole_orders(
    database: Database, outbox: Outbox, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stocksync.cleanup.BATCH_ROWS", 10)
    await outbox.insert_orders(40, units=2)
    await settle(store, await claim(store))
    await age(outbox)
    seen: list[int] = []
    running: asyncio.Task[Cleaned]

    def stop(operations: int) -> None:
        seen.append(operations)
        if len(seen) == 2:
            running.cancel()

    running = asyncio.create_task(
        Cleanup(
            database=database,
            completed_days=COMPLETED_DAYS,
            failed_days=FAILED_DAYS,
            balance_days=BALANCE_DAYS,
            on_progress=stop,
        ).run()
    )
    with pytest.raises(asyncio.CancelledError):
        await running
    assert seen == [10, 20]
    rows = Counter(row["order_id"] for row in await outbox.rows())
    assert (set(rows.values()), len(rows)) == ({2}, 30)
    assert (await of_days(database).run()).operations == 60
    assert set((await carried(outbox)).values()) == {2}


STATISTICS = {
    "none": "SELECT 1",
    "of the filled table": f"ANALYZE {', '.join(TABLES)}",
    # What ANALYZE notes when it runs in the middle of a bulk load: many pages, no rows.
    "of a bulk load": "UPDATE pg_class SET reltuples = 0, relpages = pg_relation_size(oid) / 8192"
    " WHERE relname LIKE 'pending_stock_operations%' OR relname LIKE 'stock_sync%'",
}


async def fill(outbox: Outbox, orders: int) -> None:
    """So many old orders, and as many carried balances, the time of a hundred of which is over."""
    run = outbox.connection.execute
    await run(f"TRUNCATE {', '.join(TABLES)} RESTART IDENTITY")
    await outbox.insert_orders(orders)
    await run(
        "UPDATE pending_stock_operations SET status = 'completed', completed_at = now(),"
        " updated_at = now()"
    )
    await run(
        "INSERT INTO stock_synchronization_logs (operation_id, action, status)"
        " SELECT id, 'completed', 'completed' FROM pending_stock_operations ORDER BY seq"
    )
    await age(outbox)
    await run(
        "INSERT INTO stock_sync_orders (order_id, token_id, balance, balance_until)"
        " SELECT 'cleaned up before ' || n, $1, 1, now() + (n - 100.5) * interval '1 day'"
        " FROM generate_series(1, $2) n",
        ACCOUNT,
        orders,
    )


@pytest.mark.parametrize("statistics", STATISTICS)
async def test_a_batch_costs_the_same_in_tables_ten_times_as_large(
    outbox: Outbox, statistics: str
) -> None:
    for table in TABLES:
        await outbox.connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    touched = {}
    for orders in (500, 5000):
        await fill(outbox, orders)
        await outbox.connection.execute(STATISTICS[statistics])
        # Twice: the first also reads the catalogue, and makes the session's plans.
        for after in (0, 50):
            cleaning = f"SELECT * FROM stock_sync_cleanup({after}, 50, 30, 90, 400)"
            forgetting = "SELECT * FROM stock_sync_forget(50, 400, 35, 7, 30)"
            touched[orders] = [await pages(outbox, each) for each in (cleaning, forgetting)]
        assert len(await outbox.rows()) == orders - 100
        assert len(await carried(outbox)) == orders
    assert touched[5000][0] <= 1.3 * touched[500][0]
    assert touched[5000][1] <= 1.3 * touched[500][1]


# --- what is told --------------------------------------------------------------------------------


async def test_what_is_counted_is_what_goes_and_counting_touches_nothing(
    cleanup: Cleanup, database: Database, outbox: Outbox, store: Store
) -> None:
    await complete(outbox, store, "a", quantity=2)
    await complete(outbox, store, "b")
    await complete(outbox, store, "b", operation_type="refund")
    await cancelled(outbox, database, "c")
    await fail(outbox, store, "d")
    await age(outbox, FAILED_DAYS + 1)
    await complete(outbox, store, "young")
    run = outbox.connection.execute
    await run(
        "INSERT INTO stock_sync_orders (order_id, token_id, balance, balance_until)"
        " VALUES ('e', $1, 1, now() - interval '1 day')",
        ACCOUNT,
    )
    await run(
        "INSERT INTO stock_sync_minutes (minute)"
        " VALUES (now() - interval '36 days'), (now() - interval '34 days')"
    )
    await run(
        "INSERT INTO stock_sync_changes (kind, phase, at, sent_at) VALUES"
        " ('notice', 'happened', now() - interval '9 days', now() - interval '8 days'),"
        " ('notice', 'happened', now() - interval '9 days', now() - interval '6 days'),"
        " ('notice', 'happened', now() - interval '31 days', NULL),"
        " ('notice', 'happened', now() - interval '29 days', NULL)"
    )

    async def everything() -> list[Any]:
        # xmin, xmax: who wrote or locked a row last.
        return [
            await outbox.connection.fetch(f"SELECT xmin::text, xmax::text, t.* FROM {table} t")
            for table in TABLES
        ]

    before = await everything()
    would = await cleanup.count()
    assert await everything() == before
    did = await cleanup.run()
    expected = Cleaned(
        orders=4,
        completed=3,
        cancelled=1,
        failed=1,
        balances_carried=2,
        balances_forgotten=1,
        minutes=1,
        changes=2,
    )
    for each in (would, did):
        told = each.as_result()
        assert told.pop("took_seconds") >= 0
        assert told == {k: v for k, v in expected.as_result().items() if k != "took_seconds"}
    assert await order_ids(outbox) == {"young"}


async def test_it_says_what_it_did_once_and_nothing_when_there_was_nothing(
    cleanup: Cleanup, outbox: Outbox, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    telemetry.configure("info", "json")
    await complete(outbox, store)
    await age(outbox)
    capsys.readouterr()
    await cleanup.run()
    [line] = capsys.readouterr().err.splitlines()
    assert '"event": "cleanup.done"' in line
    assert '"operations": 1' in line
    await cleanup.run()
    assert capsys.readouterr().err == ""
