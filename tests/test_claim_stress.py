"""Everything at once: claimers, producers that commit late, an operator, lost leases, failures."""

import asyncio
import random
import time
from collections import Counter

import asyncpg

from stocksync.database import Database
from stocksync.model import NotPossible, Outcome, Push
from stocksync.operations import Operations
from stocksync.store import Place, Store
from tests.outbox import Outbox, account
from tests.settling import DONE, RETRY, TIMEOUT, claim, settle, settlement

SECONDS = 6.0
CLAIMERS, PRODUCERS, ORDERS, LEASE_SECONDS = 4, 6, 60, 1.5
Order = tuple[str, str]


class Witness:
    """Sees every push from outside: who holds which order, and what the service was told last."""

    def __init__(self) -> None:
        self.held_until: dict[Order, float] = {}
        self.flags: dict[Order, bool] = {}
        self.claims = 0

    def claimed(self, push: Push, claimed_at: float) -> None:
        order = (push.token_id, push.order_id)
        assert time.monotonic() >= self.held_until.get(order, 0), f"two live claims of {order}"
        self.held_until[order] = claimed_at + LEASE_SECONDS
        self.claims += 1

    def gave_back(self, push: Push) -> None:
        self.held_until[push.token_id, push.order_id] = 0

    def told(self, push: Push) -> None:
        self.flags[push.token_id, push.order_id] = push.flag


async def test_a_stress_shows_no_order_in_two_live_claims_and_every_flag_right(
    dsn: str, outbox: Outbox
) -> None:
    # What is random here is the timing, which the seed does not fix either.
    chance = random.Random(20)
    witness = Witness()
    async with Database(url=dsn, max_connections=CLAIMERS + 2) as database:
        ends_at = time.monotonic() + SECONDS
        async with asyncio.TaskGroup() as group:
            for number in range(CLAIMERS):
                store = Store(database=database, by=f"claimer {number}")
                group.create_task(_claim(store, witness, chance, ends_at))
            for _ in range(PRODUCERS):
                group.create_task(_produce(dsn, chance, ends_at))
            group.create_task(_operate(database, outbox, chance, ends_at))
        await _drain(Store(database=database, by="the last"), witness, outbox)

    rows = await outbox.rows()
    balances: Counter[Order] = Counter()
    for row in rows:
        sign = {"refund": -1}.get(row["operation_type"], 1)
        if row["status"] != "cancelled":
            balances[row["token_id"], row["order_id"]] += sign * row["quantity"]
    assert {row["status"] for row in rows} <= {"completed", "cancelled"}
    wrong = {order for order, flag in witness.flags.items() if flag != (balances[order] > 0)}
    assert not wrong
    assert witness.claims > ORDERS, "nothing happened"


async def _claim(store: Store, witness: Witness, chance: random.Random, ends_at: float) -> None:
    place = Place()
    while time.monotonic() < ends_at:
        claimed_at = time.monotonic()
        taken = await store.claim(limit=10, lease_seconds=LEASE_SECONDS, place=place)
        # Known places while there is more, a look at everything otherwise: as the relay does.
        place = taken.next_place if len(taken.pushes) == 10 and chance.random() < 0.8 else Place()
        for push in taken.pushes:
            witness.claimed(push, claimed_at)
        await asyncio.sleep(chance.uniform(0, 0.02))
        await store.rescue()
        for push in taken.pushes:
            await _end(store, push, witness, chance)


async def _end(store: Store, push: Push, witness: Witness, chance: random.Random) -> None:
    fate = chance.random()
    if fate < 0.02:
        return  # died: the lease runs out
    if fate < 0.05:
        witness.gave_back(push)
        await store.release([push])
        return
    outcome: Outcome = DONE
    if fate < 0.15:
        outcome = chance.choice([RETRY, TIMEOUT])
    else:
        witness.told(push)
    rules_off = settlement(push, outcome)
    witness.gave_back(push)
    await store.settle([rules_off])


async def _produce(dsn: str, chance: random.Random, ends_at: float) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        producer = Outbox(connection)
        while time.monotonic() < ends_at:
            token_id, order_id = account(chance.randrange(3)), f"order-{chance.randrange(ORDERS)}"
            async with connection.transaction():
                for _ in range(chance.randint(1, 4)):
                    await producer.insert(
                        order_id,
                        token_id,
                        operation_type=chance.choice(["deduction", "deduction", "refund"]),
                        quantity=chance.randint(1, 3),
                        max_retries=-1,
                    )
                await asyncio.sleep(chance.uniform(0, 0.03))  # commits late
    finally:
        await connection.close()


async def _operate(
    database: Database, outbox: Outbox, chance: random.Random, ends_at: float
) -> None:
    operations = Operations(database=database)
    while time.monotonic() < ends_at:
        await asyncio.sleep(0.01)
        row = await outbox.connection.fetchrow(
            "SELECT id FROM pending_stock_operations WHERE status = 'pending'"
            " ORDER BY random() LIMIT 1"
        )
        if row is None:
            continue
        try:
            if chance.random() < 0.5:
                await operations.cancel([row["id"]], by="operator", reason="a test")
            else:
                await operations.retry([row["id"]], by="operator")
        except NotPossible:
            continue  # claimed in between


async def _drain(store: Store, witness: Witness, outbox: Outbox) -> None:
    await outbox.expire_leases()
    await store.rescue()
    await outbox.make_due()
    while pushes := await claim(store):
        for push in pushes:
            witness.told(push)
        assert await settle(store, pushes) == 0
