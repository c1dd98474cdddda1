"""The races of the claim, each run in its interleaving: no order is ever in two live claims."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID, uuid4

import asyncpg
import pytest

from stocksync.circuits import SERVICE
from stocksync.database import Database
from stocksync.operations import Operations
from stocksync.store import Store
from tests.outbox import ACCOUNT, OTHER_ACCOUNT, Outbox
from tests.relaying import until_somebody_waits
from tests.settling import RETRY, claim, settle

Connection = asyncpg.Connection


class Claimer:
    """Claims inside a transaction of its own, which a test holds open as long as it likes."""

    def __init__(self, connection: "Connection[asyncpg.Record]") -> None:
        self.connection = connection
        self._transaction = connection.transaction()

    async def claim(self) -> list[UUID]:
        """Claim everything due; gives the claimed rows, not yet committed."""
        await self._transaction.start()
        rows = await self.connection.fetch(
            "SELECT ids FROM stock_sync_claim(100, $1, 60, '', '{}', '{}', '{}')", uuid4()
        )
        return [row_id for row in rows for row_id in row["ids"] or ()]

    async def commit(self) -> None:
        await self._transaction.commit()


@pytest.fixture
async def connections(dsn: str) -> AsyncIterator[list["Connection[asyncpg.Record]"]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(connected(dsn)) for _ in range(3)]


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator["Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def live_claims_of_an_order(outbox: Outbox) -> int:
    """The largest number of claims that hold one order."""
    most: int = await outbox.connection.fetchval(
        "SELECT coalesce(max(n), 0) FROM (SELECT count(DISTINCT claim_token) n"
        " FROM pending_stock_operations WHERE status = 'processing' GROUP BY token_id, order_id) c"
    )
    return most


async def test_an_older_row_committed_late_does_not_make_a_second_claim(
    outbox: Outbox, connections: list["Connection[asyncpg.Record]"]
) -> None:
    producer, first, second = connections
    late = producer.transaction()
    await late.start()
    await Outbox(producer).insert()  # the lower seq, seen by nobody yet
    newer = await outbox.insert()
    one, two = Claimer(first), Claimer(second)
    assert await one.claim() == [newer]
    await late.commit()
    # The second claimer's call begins, and takes its first snapshot, before the first commits.
    waiting = asyncio.create_task(two.claim())
    await until_somebody_waits(outbox)
    await one.commit()
    assert await waiting == []
    await two.commit()
    assert await live_claims_of_an_order(outbox) == 1


async def test_a_claimer_that_waited_sees_what_was_claimed_meanwhile(
    outbox: Outbox, connections: list["Connection[asyncpg.Record]"]
) -> None:
    _, first, second = connections
    await outbox.insert()
    one, two = Claimer(first), Claimer(second)
    assert len(await one.claim()) == 1
    await outbox.insert()  # a free row of the same order: no row lock would keep the second away
    waiting = asyncio.create_task(two.claim())
    await until_somebody_waits(outbox)
    await one.commit()
    assert await waiting == []
    await two.commit()


async def test_an_order_that_gets_a_due_row_while_it_is_claimed_for_its_own_sake_is_claimed_once(
    store: Store, outbox: Outbox, connections: list["Connection[asyncpg.Record]"]
) -> None:
    await outbox.insert()
    await settle(store, await claim(store))
    await outbox.connection.execute(
        "INSERT INTO stock_sync_orders (order_id, token_id, push_due_at)"
        " SELECT order_id, token_id, now() FROM pending_stock_operations"
    )
    await pause_the_claim_before_its_due_rows(outbox)
    producer, holder, _ = connections
    late = producer.transaction()
    await late.start()
    row_id = await Outbox(producer).insert()
    await holder.execute("SELECT pg_advisory_lock(1)")
    claiming = asyncio.create_task(claim(store))
    # It has noted the order to be pushed again, and will look for rows that were due by then.
    await until_somebody_waits(outbox)
    await late.commit()
    await holder.execute("SELECT pg_advisory_unlock(1)")
    [push] = await claiming
    assert [row.id for row in push.rows] == [row_id]
    assert push.attempt == 0, "it goes for its own sake as well"
    assert await settle(store, [push]) == 0
    assert await outbox.statuses() == {"completed": 2}
    assert await outbox.order() is None


async def pause_the_claim_before_its_due_rows(outbox: Outbox) -> None:
    """Let every claim wait for the advisory lock 1 between its two lists of orders."""
    function = "stock_sync_due_accounts"
    await outbox.connection.execute(
        f"ALTER FUNCTION {function} RENAME TO due_accounts_at_once;"
        f" CREATE FUNCTION {function}(a text, b integer, c timestamptz, d boolean)"
        " RETURNS text[] LANGUAGE plpgsql AS $$ BEGIN"
        " PERFORM pg_advisory_xact_lock_shared(1);"
        " RETURN due_accounts_at_once(a, b, c, d); END $$"
    )


async def test_the_second_oldest_row_is_no_way_in(
    store: Store, outbox: Outbox, connections: list["Connection[asyncpg.Record]"]
) -> None:
    oldest = await outbox.insert()
    await outbox.insert()
    async with connections[0].transaction():
        await connections[0].execute(
            "SELECT 1 FROM pending_stock_operations WHERE id = $1 FOR UPDATE", oldest
        )
        assert await claim(store) == []
    assert len((await claim(store))[0].rows) == 2


async def test_a_retry_by_hand_during_a_claim_waits_and_makes_no_second_claim(
    store: Store,
    database: Database,
    outbox: Outbox,
    connections: list["Connection[asyncpg.Record]"],
) -> None:
    older = await outbox.insert(max_retries=0)
    await settle(store, await claim(store), RETRY)
    await outbox.insert()
    one = Claimer(connections[0])
    assert len(await one.claim()) == 1
    retrying = asyncio.create_task(Operations(database=database).retry([older], by="a test"))
    await until_somebody_waits(outbox)
    await one.commit()
    await retrying
    assert (await outbox.row(older))["status"] == "pending"
    assert await claim(store) == []
    assert await live_claims_of_an_order(outbox) == 1


async def test_a_cancel_by_hand_during_a_claim_waits_and_finds_the_row_in_flight(
    database: Database, outbox: Outbox, connections: list["Connection[asyncpg.Record]"]
) -> None:
    row_id = await outbox.insert()
    one = Claimer(connections[0])
    assert await one.claim() == [row_id]
    cancelling = asyncio.create_task(
        Operations(database=database).cancel([row_id], by="a test", reason=None)
    )
    await until_somebody_waits(outbox)
    await one.commit()
    with pytest.raises(Exception, match="processing"):
        await cancelling
    assert (await outbox.row(row_id))["status"] == "processing"


async def test_the_database_itself_refuses_a_second_live_claim_of_an_order(
    store: Store, outbox: Outbox
) -> None:
    await outbox.insert()
    await claim(store)
    await outbox.insert()
    with pytest.raises(asyncpg.UniqueViolationError, match="in_flight"):
        await outbox.connection.execute(
            "UPDATE pending_stock_operations SET status = 'processing', claim_no = 1,"
            " claim_token = gen_random_uuid(), lease_until = now() WHERE status = 'pending'"
        )


async def test_twenty_claimers_at_once_share_the_orders_out(dsn: str, outbox: Outbox) -> None:
    await outbox.insert_orders(100, units=2)
    async with Database(url=dsn, max_connections=20) as database:
        stores = [Store(database=database, by=f"claimer {n}") for n in range(20)]
        claims = await asyncio.gather(*(claim(store, 10) for store in stores))
    taken = [push.order_id for pushes in claims for push in pushes]
    assert len(taken) == len(set(taken)) == 100


# --- circuits ------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", [SERVICE, ACCOUNT], ids=["service", "account"])
async def test_a_claim_of_a_probe_and_the_feeding_of_circuits_lock_in_the_same_order(
    store: Store,
    database: Database,
    outbox: Outbox,
    connections: list["Connection[asyncpg.Record]"],
    of: str,
) -> None:
    feeder, *_ = connections
    await open_circuit(outbox, of)
    await outbox.insert("both")
    await push_again_in_a_minute(outbox, ACCOUNT)
    async with feeder.transaction():
        await feeder.fetch(database.query("circuits_lock"), [ACCOUNT])
        claiming = asyncio.create_task(claim(store))
        await until_somebody_waits(outbox)
        # Wants the order: whoever holds it must not wait for the circuit.
        await feeder.fetch(database.query("circuits_make_due"), [ACCOUNT], ["both"])
    assert [push.is_probe for push in await claiming] == [True]


async def test_a_circuit_that_opens_while_its_order_is_claimed_is_not_charged_with_a_probe(
    store: Store, outbox: Outbox, connections: list["Connection[asyncpg.Record]"]
) -> None:
    operator, *_ = connections
    await open_circuit(outbox, OTHER_ACCOUNT)
    for token_id in (ACCOUNT, OTHER_ACCOUNT):
        await outbox.insert("both", token_id=token_id)
    await push_again_in_a_minute(outbox, ACCOUNT)
    async with operator.transaction():
        await operator.execute("SELECT FROM stock_sync_orders FOR UPDATE")
        claiming = asyncio.create_task(claim(store))
        await until_somebody_waits(outbox)
        await open_circuit(outbox, ACCOUNT)
    probes = {push.token_id: push.is_probe for push in await claiming}
    assert probes == {ACCOUNT: False, OTHER_ACCOUNT: True}
    charged = "SELECT token_id FROM stock_sync_circuits WHERE probes > 0 OR probe_until IS NOT NULL"
    assert [row[0] for row in await outbox.connection.fetch(charged)] == [OTHER_ACCOUNT]


async def open_circuit(outbox: Outbox, of: str) -> None:
    """Its probe is due."""
    await outbox.connection.execute(
        "INSERT INTO stock_sync_circuits (token_id, is_open, opened_at, probe_at)"
        " VALUES ($1, true, now(), now())"
        " ON CONFLICT (token_id) DO UPDATE SET is_open = true, opened_at = now(), probe_at = now()",
        of,
    )


async def push_again_in_a_minute(outbox: Outbox, token_id: str) -> None:
    await outbox.connection.execute(
        "INSERT INTO stock_sync_orders (order_id, token_id, push_due_at)"
        " VALUES ('both', $1, now() + interval '1 minute')",
        token_id,
    )
