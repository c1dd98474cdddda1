"""Operations: what is told of them is true, and a change by hand is whole or not at all."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import asyncpg
import pytest

from stocksync.circuit import Kind, Seen
from stocksync.circuits import Circuits
from stocksync.database import Database
from stocksync.model import NotPossible, Status, UnknownOperation
from stocksync.operations import Operations, Wait
from stocksync.store import Store
from stocksync.verdict import Limits, Verdict
from tests.outbox import ACCOUNT, OTHER_ACCOUNT, Outbox, account
from tests.settling import DONE, REFUSED, RETRY, TIMEOUT, claim, settle

BY = "anna@desk"
LIMITS = Limits()


@pytest.fixture
def operations(database: Database) -> Operations:
    return Operations(database=database)


@pytest.fixture
async def another(dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close()


async def failed(outbox: Outbox, store: Store, order_id: str = "order") -> UUID:
    row_id = await outbox.insert(order_id)
    await settle(store, await claim(store), REFUSED)
    return row_id


# --- list ----------------------------------------------------------------------------------------


async def test_the_newest_operations_come_first(operations: Operations, outbox: Outbox) -> None:
    old, new = await outbox.insert("a"), await outbox.insert("b")
    # In one transaction all rows have the same time: the later one is still the newer.
    async with outbox.connection.transaction():
        same = [await outbox.insert("c"), await outbox.insert("d")]
    page = await operations.list_operations()
    assert [o.id for o in page.operations] == [*reversed(same), new, old]
    assert page.total == 4


async def test_the_total_counts_what_matches_beyond_the_page(
    operations: Operations, outbox: Outbox
) -> None:
    await outbox.insert_units(5)
    await outbox.insert("other")
    page = await operations.list_operations(order_id="order", limit=2, offset=4)
    assert (len(page.operations), page.total, page.limit, page.offset) == (1, 5, 2, 4)
    beyond = await operations.list_operations(order_id="order", offset=5)
    assert (beyond.operations, beyond.total) == ((), 5)


async def test_filters_narrow_the_list_together(
    operations: Operations, outbox: Outbox, store: Store
) -> None:
    await outbox.insert("a")
    await outbox.insert("b")
    await settle(store, await claim(store))
    waiting = await outbox.insert("a")
    await outbox.insert("a", OTHER_ACCOUNT)
    page = await operations.list_operations(status=Status.PENDING, token_id=ACCOUNT, order_id="a")
    assert [o.id for o in page.operations] == [waiting]


# --- show ----------------------------------------------------------------------------------------


async def test_a_history_begins_with_the_birth_that_nobody_had_to_log(
    operations: Operations, outbox: Outbox, store: Store
) -> None:
    row_id = await outbox.insert()
    await settle(store, await claim(store), RETRY)
    await outbox.make_due()
    await settle(store, await claim(store), DONE)
    story = await operations.show(row_id)
    assert [(e.action, e.status) for e in story.history] == [
        ("created", Status.PENDING),
        ("retry", Status.PENDING),
        ("completed", Status.COMPLETED),
    ]
    created, retried, _ = story.history
    assert (created.timestamp, created.details) == (story.operation.created_at, {})
    assert retried.details["http_status"] == 500
    assert retried.execution_time_ms == 7
    assert story.operation.attempts == 2


async def test_an_unknown_operation_is_said_by_its_id(operations: Operations) -> None:
    stranger = uuid4()
    with pytest.raises(UnknownOperation, match=str(stranger)):
        await operations.show(stranger)


# --- show an order -------------------------------------------------------------------------------


async def test_an_order_is_shown_for_each_account_that_knows_it(
    operations: Operations, outbox: Outbox
) -> None:
    await outbox.insert_units(2)
    await outbox.insert("order", OTHER_ACCOUNT, operation_type="refund")
    one, other = await operations.show_order("order")
    assert (one.token_id, one.balance, one.wanted_flag) == (ACCOUNT, 2, True)
    assert len(one.operations) == 2
    assert (other.token_id, other.balance, other.wanted_flag) == (OTHER_ACCOUNT, -1, False)
    [only] = await operations.show_order("order", OTHER_ACCOUNT)
    assert only.token_id == OTHER_ACCOUNT


async def test_an_order_without_rows_is_known_by_its_carried_balance(
    operations: Operations, outbox: Outbox
) -> None:
    await outbox.connection.execute(
        "INSERT INTO stock_sync_orders (order_id, token_id, balance) VALUES ('old', $1, 3)", ACCOUNT
    )
    [order] = await operations.show_order("old")
    assert (order.balance, order.carried_balance, order.operations) == (3, 3, ())
    assert order.waits_for is Wait.NOTHING


async def test_an_unknown_order_is_said_by_its_id(operations: Operations, outbox: Outbox) -> None:
    await outbox.insert("Nowhere")
    with pytest.raises(UnknownOperation, match=r"order 'nowhere' \(.* case-sensitive\)"):
        await operations.show_order("nowhere")


async def test_an_order_says_whether_a_daemon_lives_that_could_push_it(
    operations: Operations, outbox: Outbox
) -> None:
    await outbox.insert()
    await outbox.connection.execute(
        "INSERT INTO stock_sync_daemons (id, host, pid, version, seen_at)"
        " VALUES (gen_random_uuid(), 'dead', 1, '1', now() - interval '1 minute')"
    )
    [order] = await operations.show_order("order")
    assert not order.has_daemon
    await outbox.connection.execute("UPDATE stock_sync_daemons SET seen_at = now()")
    [order] = await operations.show_order("order")
    assert order.has_daemon


async def test_an_order_says_what_it_waits_for_and_until_when(
    operations: Operations, outbox: Outbox, store: Store
) -> None:
    row_id = await outbox.insert()
    [order] = await operations.show_order("order")
    assert order.waits_for is Wait.DUE
    assert order.waits_until == (await outbox.row(row_id))["next_retry_at"]

    pushes = await claim(store)
    [order] = await operations.show_order("order")
    assert order.waits_for is Wait.IN_FLIGHT
    assert order.waits_until == (await outbox.row(row_id))["lease_until"]

    await settle(store, pushes, TIMEOUT)
    [order] = await operations.show_order("order")
    assert order.waits_for is Wait.RETRY
    assert order.waits_until == (await outbox.row(row_id))["next_retry_at"]

    await outbox.make_due()
    await settle(store, await claim(store))
    [order] = await operations.show_order("order")
    # Beside it: an old call may still be applied. Nothing is waited for.
    assert order.ambiguous_at is not None
    assert (order.waits_for, order.waits_until) == (Wait.NOTHING, None)

    await outbox.connection.execute(
        "UPDATE stock_sync_orders SET push_due_at = now() + interval '1 hour'"
    )
    [order] = await operations.show_order("order")
    assert (order.waits_for, order.waits_until) == (Wait.PUSH_AGAIN, order.push_due_at)


async def test_an_order_tells_its_last_attempt_whatever_it_brought(
    operations: Operations, outbox: Outbox, store: Store
) -> None:
    await outbox.insert()
    await outbox.insert("other")
    [order] = await operations.show_order("order")
    assert order.last_attempt is None

    await settle(store, await claim(store), RETRY)
    [order] = await operations.show_order("order")
    attempt = order.last_attempt
    assert attempt is not None
    assert (attempt.action, attempt.is_proven, attempt.by) == ("retry", False, "a test")
    assert (attempt.http_status, attempt.error) == (500, RETRY.reason)
    assert attempt.duration_ms == 7
    assert attempt.at == (await outbox.rows())[0]["attempted_at"]

    await outbox.make_due()
    await claim(store)
    await outbox.expire_leases()
    await store.rescue()
    [order] = await operations.show_order("order")
    assert order.last_attempt is not None
    assert (order.last_attempt.action, order.last_attempt.error) == ("lease_expired", None)

    await outbox.make_due()
    await settle(store, await claim(store))
    [order] = await operations.show_order("order")
    assert order.last_attempt is not None
    assert order.last_attempt.is_proven


async def test_a_hand_is_no_attempt(operations: Operations, outbox: Outbox, store: Store) -> None:
    row_id = await failed(outbox, store)
    await operations.retry([row_id], by=BY)
    [order] = await operations.show_order("order")
    assert order.last_attempt is not None
    assert (order.last_attempt.action, order.last_attempt.by) == ("failed", "a test")


# --- what holds up -------------------------------------------------------------------------------


@pytest.fixture
def circuits(database: Database) -> Circuits:
    return Circuits(database=database, failures=2)


async def lose_the_service(circuits: Circuits) -> None:
    """Five orders failed, nothing was proven: its circuit opens."""
    await circuits.feed(
        [
            Seen(account=ACCOUNT, order=f"lost-{n}", kind=Kind.FAILED, reason="503 turned away")
            for n in range(circuits.failures)
        ]
    )


async def park(circuits: Circuits, token_id: str) -> None:
    """Something of another account is proven, this one's token is refused."""
    proof = Seen(account="another", order="order", kind=Kind.PROVEN)
    refusal = Seen(account=token_id, order="order", kind=Kind.TOKEN, reason="404 not accepted")
    await circuits.feed([proof, refusal, proof, refusal, proof])


async def test_an_order_waits_for_the_service_until_the_next_probe(
    operations: Operations, outbox: Outbox, circuits: Circuits
) -> None:
    await outbox.insert()
    await lose_the_service(circuits)
    [order] = await operations.show_order("order")
    [circuit] = order.circuits
    assert (circuit.is_service, circuit.reason) == (True, "503 turned away")
    assert (order.waits_for, order.waits_until) == (Wait.SERVICE, circuit.probe_at)


async def test_an_order_waits_for_its_parked_account_and_no_other(
    operations: Operations, outbox: Outbox, circuits: Circuits
) -> None:
    await outbox.insert()
    await outbox.insert("order", OTHER_ACCOUNT)
    await park(circuits, OTHER_ACCOUNT)
    free, parked = await operations.show_order("order")
    assert (free.waits_for, free.circuits) == (Wait.DUE, ())
    [circuit] = parked.circuits
    assert (parked.waits_for, parked.waits_until) == (Wait.ACCOUNT, circuit.probe_at)
    story = await operations.show(parked.operations[0].id)
    assert story.circuits == parked.circuits


async def test_an_order_waits_for_the_end_of_a_pause(
    operations: Operations, outbox: Outbox, circuits: Circuits, store: Store
) -> None:
    await outbox.insert()
    until = await circuits.pause(minutes=10, by=BY)
    [order] = await operations.show_order("order")
    assert (order.waits_for, order.waits_until) == (Wait.PAUSE, until)
    later = await circuits.pause(token_id=ACCOUNT, minutes=20, by=BY)
    [order] = await operations.show_order("order")
    assert order.waits_until == later
    assert await circuits.resume()
    assert await circuits.resume(token_id=ACCOUNT)
    assert not await circuits.resume()
    [order] = await operations.show_order("order")
    assert (order.waits_for, order.circuits) == (Wait.DUE, ())
    assert len(await claim(store)) == 1


async def test_a_retry_that_comes_after_the_pause_is_what_an_order_waits_for(
    operations: Operations, outbox: Outbox, circuits: Circuits, store: Store
) -> None:
    await outbox.insert()
    await settle(store, await claim(store), RETRY)
    await outbox.connection.execute(
        "UPDATE pending_stock_operations SET next_retry_at = now() + interval '1 hour'"
    )
    await circuits.pause(minutes=10, by=BY)
    [order] = await operations.show_order("order")
    assert (order.waits_for, order.waits_until) == (
        Wait.RETRY,
        (await outbox.rows())[0]["next_retry_at"],
    )


# --- cancel --------------------------------------------------------------------------------------


async def test_a_cancelled_operation_leaves_the_sum_and_its_order_is_pushed_again(
    operations: Operations, outbox: Outbox, store: Store
) -> None:
    first = await outbox.insert()
    await settle(store, await claim(store))
    second = await outbox.insert()
    await operations.cancel([second], by=BY, reason="sold twice")
    [push] = await claim(store)
    assert (push.balance, push.rows, push.attempt) == (1, (), 0)
    await settle(store, [push])
    assert await claim(store) == []
    _, cancelled, pushed_again = (await operations.show(second)).history
    assert pushed_again.action == "pushed_again"
    assert cancelled.action == "cancelled"
    assert cancelled.details == {"by": BY, "reason": "sold twice"}
    assert (await outbox.row(first))["status"] == "completed"


async def test_the_cancel_of_a_failed_operation_takes_the_flag_back(
    operations: Operations, outbox: Outbox, store: Store
) -> None:
    row_id = await failed(outbox, store)
    await operations.cancel([row_id], by=BY)
    [push] = await claim(store)
    assert (push.balance, push.flag) == (0, False)
    assert (await outbox.row(row_id))["error_message"] == REFUSED.reason


async def test_what_is_to_be_pushed_earlier_stays_so(
    operations: Operations, outbox: Outbox
) -> None:
    row_id = await outbox.insert()
    earlier = await outbox.connection.fetchval(
        "INSERT INTO stock_sync_orders (order_id, token_id, push_due_at)"
        " VALUES ('order', $1, now() - interval '1 hour') RETURNING push_due_at",
        ACCOUNT,
    )
    await operations.cancel([row_id], by=BY)
    order = await outbox.order()
    assert order is not None
    assert order["push_due_at"] == earlier


async def test_a_failed_row_cancelled_during_its_orders_push_is_pushed_once_more(
    operations: Operations, outbox: Outbox, store: Store
) -> None:
    """The push in flight has the row in its sum: completing it must not complete the row."""
    row_id = await failed(outbox, store)
    await outbox.insert()
    pushes = await claim(store)
    assert pushes[0].failed_ids == (row_id,)
    await operations.cancel([row_id], by=BY)
    await settle(store, pushes)
    assert (await outbox.row(row_id))["status"] == "cancelled"
    [push] = await claim(store)
    assert push.balance == 1


# --- retry ---------------------------------------------------------------------------------------


async def test_a_retried_operation_is_due_as_if_it_had_never_failed(
    operations: Operations, outbox: Outbox, store: Store
) -> None:
    row_id = await outbox.insert()
    await settle(store, await claim(store), RETRY)
    await outbox.make_due()
    await settle(store, await claim(store), REFUSED)
    await operations.retry([row_id], by=BY)
    row = await outbox.row(row_id)
    assert (row["status"], row["retry_count"], row["error_message"]) == ("pending", 0, None)
    assert await outbox.actions(row_id) == ["retry", "failed", "manual_retry"]
    [push] = await claim(store)
    assert [claimed.id for claimed in push.rows] == [row_id]


async def test_a_pending_operation_need_not_wait_for_its_retry(
    operations: Operations, outbox: Outbox, store: Store
) -> None:
    row_id = await outbox.insert()
    await settle(store, await claim(store), RETRY)
    assert await claim(store) == []
    await operations.retry([row_id], by=BY)
    assert len(await claim(store)) == 1


# --- both ----------------------------------------------------------------------------------------

CHANGES = pytest.mark.parametrize("change", ["retry", "cancel"])


@CHANGES
async def test_one_unknown_id_changes_nothing(
    operations: Operations, outbox: Outbox, change: str
) -> None:
    known, stranger = await outbox.insert(), uuid4()
    before = await outbox.row(known)
    with pytest.raises(UnknownOperation, match=f"{stranger}; nothing was changed"):
        await getattr(operations, change)([known, stranger], by=BY)
    assert await outbox.row(known) == before
    assert await outbox.actions(known) == []
    assert await outbox.order() is None


@CHANGES
@pytest.mark.parametrize("status", ["processing", "completed", "cancelled"])
async def test_one_operation_in_another_status_changes_nothing(
    operations: Operations, outbox: Outbox, store: Store, change: str, status: str
) -> None:
    row_id = await outbox.insert("other")
    if status == "cancelled":
        await operations.cancel([row_id], by=BY)
        await settle(store, await claim(store))
    else:
        pushes = await claim(store)
        if status == "completed":
            await settle(store, pushes)
    free = await outbox.insert()
    before = await outbox.rows()
    with pytest.raises(NotPossible, match=f"{row_id} is {status}"):
        await getattr(operations, change)([free, row_id], by=BY)
    assert await outbox.rows() == before
    assert await outbox.order() is None


@CHANGES
async def test_an_id_said_twice_counts_once(
    operations: Operations, outbox: Outbox, change: str
) -> None:
    row_id = await outbox.insert()
    assert await getattr(operations, change)([row_id, row_id], by=BY) == (row_id,)
    assert len(await outbox.actions(row_id)) == 1


@CHANGES
async def test_a_change_wakes_a_sleeping_daemon(
    operations: Operations, outbox: Outbox, change: str
) -> None:
    row_id = await outbox.insert()
    heard: asyncio.Queue[tuple[str, object]] = asyncio.Queue()
    await outbox.connection.add_listener(
        "stock_sync_public",
        lambda _connection, _pid, channel, payload: heard.put_nowait((channel, payload)),
    )
    await getattr(operations, change)([row_id], by=BY)
    async with asyncio.timeout(30):
        assert await heard.get() == ("stock_sync_public", "")


@CHANGES
async def test_a_change_never_runs_beside_a_claim(
    operations: Operations,
    outbox: Outbox,
    another: "asyncpg.Connection[asyncpg.Record]",
    change: str,
) -> None:
    """The interleaving: a claim is not committed yet; the change waits, and finds it in flight."""
    row_id = await outbox.insert()
    transaction = another.transaction()
    await transaction.start()
    await another.fetch(
        "SELECT * FROM stock_sync_claim(1, gen_random_uuid(), 60, '', '{}', '{}', '{}')"
    )
    changing = asyncio.create_task(getattr(operations, change)([row_id], by=BY))
    async with asyncio.timeout(30):
        while not await outbox.connection.fetchval(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        ):
            await asyncio.sleep(0)
    await transaction.commit()
    with pytest.raises(NotPossible, match="is processing"):
        await changing


async def test_two_hands_on_the_same_operations_do_not_lock_each_other_out(
    operations: Operations, outbox: Outbox
) -> None:
    ids = [await outbox.insert(f"order-{n}") for n in range(20)]
    done = await asyncio.gather(
        operations.cancel(ids, by="one"),
        operations.cancel(ids[::-1], by="other"),
        return_exceptions=True,
    )
    assert {type(each) for each in done} == {tuple, NotPossible}
    assert await outbox.statuses() == {"cancelled": 20}


# --- status --------------------------------------------------------------------------------------


async def test_an_empty_outbox_is_ok(operations: Operations) -> None:
    standing = await operations.status(limits=LIMITS)
    assert (standing.verdict, standing.reasons, standing.daemons) == (Verdict.OK, (), ())
    assert standing.oldest_snapshot is None


async def test_the_numbers_are_those_of_the_outbox(
    operations: Operations, outbox: Outbox, store: Store
) -> None:
    await outbox.insert("first-try")
    await settle(store, await claim(store))
    await outbox.insert("second-try")
    await settle(store, await claim(store), TIMEOUT)
    await outbox.make_due()
    await settle(store, await claim(store))
    await failed(outbox, store)
    await outbox.insert("in-flight")
    await claim(store)
    await operations.cancel([await outbox.insert("cancelled")], by=BY)
    await outbox.insert_units(2, "due")
    numbers = (await operations.status(limits=LIMITS, with_census=True)).numbers
    assert (numbers.pending, numbers.processing, numbers.completed) == (2, 1, 2)
    assert (numbers.failed, numbers.cancelled) == (1, 1)
    assert (numbers.due_rows, numbers.due_orders, numbers.orders_to_push_again) == (2, 1, 1)
    assert numbers.ambiguous_orders == 1
    assert numbers.oldest_due_seconds is not None
    assert (numbers.waiting_rows, numbers.waiting_orders) == (0, 0)


async def test_what_is_done_is_counted_for_those_who_ask(
    operations: Operations, outbox: Outbox, store: Store
) -> None:
    await outbox.insert()
    await settle(store, await claim(store))
    numbers = (await operations.status(limits=LIMITS)).numbers
    assert (numbers.completed, numbers.cancelled) == (None, None)


async def test_errors_are_counted_the_most_frequent_first(
    operations: Operations, outbox: Outbox, store: Store
) -> None:
    for order_id, outcome in (("a", RETRY), ("b", RETRY), ("c", TIMEOUT), ("d", REFUSED)):
        await outbox.insert(order_id)
        await settle(store, await claim(store), outcome)
    numbers = (await operations.status(limits=LIMITS)).numbers
    assert (numbers.retrying, numbers.retry_error) == (3, RETRY.reason)
    assert (numbers.failed, numbers.failed_error) == (1, REFUSED.reason)
    first = min(row["next_retry_at"] for row in await outbox.rows() if row["status"] == "pending")
    assert numbers.next_retry_at == numbers.next_due_at == first


async def test_what_is_held_up_is_not_said_to_be_retried(
    operations: Operations, outbox: Outbox, store: Store, circuits: Circuits
) -> None:
    for token_id, outcome in ((account(1), RETRY), (account(2), TIMEOUT), (account(2), TIMEOUT)):
        await outbox.insert(token_id=token_id)
        await settle(store, await claim(store), outcome)
    await circuits.pause(token_id=account(2), minutes=5, by=BY)
    numbers = (await operations.status(limits=LIMITS)).numbers
    assert (numbers.retrying, numbers.retry_error) == (1, RETRY.reason)
    await lose_the_service(circuits)
    numbers = (await operations.status(limits=LIMITS)).numbers
    assert (numbers.retrying, numbers.retry_error, numbers.next_retry_at) == (0, None, None)


async def test_what_waits_for_the_service_is_no_standstill(
    operations: Operations, outbox: Outbox, circuits: Circuits, database: Database
) -> None:
    await database.fetch("beat", uuid4(), "host", 7, "1.0", None, 0, None)
    await outbox.insert_units(3)
    await outbox.connection.execute(
        "UPDATE pending_stock_operations SET next_retry_at = now() - interval '1 day'"
    )
    assert (await operations.status(limits=LIMITS)).verdict is Verdict.STALLED
    await lose_the_service(circuits)
    standing = await operations.status(limits=LIMITS)
    assert standing.verdict is Verdict.DEGRADED
    assert (standing.numbers.due_rows, standing.numbers.waiting_rows) == (0, 3)
    [circuit] = standing.circuits
    assert (circuit.is_service, circuit.waiting_rows) == (True, 3)


async def test_each_waiting_row_counts_for_what_holds_it_up(
    operations: Operations, outbox: Outbox, circuits: Circuits
) -> None:
    third = account(3)
    await outbox.insert_units(1)
    await outbox.insert_units(2, token_id=OTHER_ACCOUNT)
    await outbox.insert_units(4, token_id=third)
    await park(circuits, OTHER_ACCOUNT)
    await circuits.pause(token_id=third, minutes=10, by=BY)
    standing = await operations.status(limits=LIMITS)
    assert (standing.numbers.due_rows, standing.numbers.waiting_rows) == (1, 6)
    assert {c.token_id: c.waiting_rows for c in standing.circuits} == {OTHER_ACCOUNT: 2, third: 4}
    await lose_the_service(circuits)
    standing = await operations.status(limits=LIMITS)
    assert (standing.numbers.due_rows, standing.numbers.waiting_rows) == (0, 7)
    assert {c.token_id: c.waiting_rows for c in standing.circuits} == {
        "": 1,
        OTHER_ACCOUNT: 2,
        third: 4,
    }


@pytest.mark.parametrize("token_id", ["", ACCOUNT])
@pytest.mark.parametrize("is_resumed", [True, False])
async def test_the_end_of_a_long_pause_is_no_standstill(
    operations: Operations,
    outbox: Outbox,
    circuits: Circuits,
    database: Database,
    token_id: str,
    is_resumed: bool,
) -> None:
    await database.fetch("beat", uuid4(), "host", 7, "1.0", None, 0, None)
    await circuits.pause(token_id=token_id, minutes=10, by=BY)
    await outbox.insert()
    await outbox.connection.execute(
        "UPDATE pending_stock_operations SET next_retry_at = now() - interval '1 hour'"
    )
    assert (await operations.status(limits=LIMITS)).verdict is Verdict.DEGRADED
    if is_resumed:
        await circuits.resume(token_id=token_id)
    else:
        await outbox.connection.execute("UPDATE stock_sync_circuits SET paused_until = now()")
    standing = await operations.status(limits=LIMITS)
    assert standing.verdict is Verdict.OK
    assert standing.numbers.oldest_due_seconds == pytest.approx(3600, abs=60)


async def test_who_died_long_ago_is_no_news(
    operations: Operations, outbox: Outbox, database: Database
) -> None:
    await database.fetch("beat", uuid4(), "host", 7, "1.0", None, 0, None)
    await outbox.connection.execute(
        "UPDATE stock_sync_daemons SET seen_at = now() - interval '59 minutes'"
    )
    assert len((await operations.status(limits=LIMITS)).daemons) == 1
    await outbox.connection.execute(
        "UPDATE stock_sync_daemons SET seen_at = now() - interval '61 minutes'"
    )
    assert (await operations.status(limits=LIMITS)).daemons == ()


async def test_a_row_whose_lease_ran_out_is_due(
    operations: Operations, outbox: Outbox, store: Store
) -> None:
    await outbox.insert()
    await claim(store)
    assert (await operations.status(limits=LIMITS)).verdict is Verdict.OK
    await outbox.expire_leases()
    standing = await operations.status(limits=LIMITS)
    assert standing.numbers.due_rows == 1
    assert standing.verdict is Verdict.STALLED


async def test_a_daemon_lives_as_long_as_it_is_seen(
    operations: Operations, outbox: Outbox, database: Database
) -> None:
    deaf = False
    await database.fetch("beat", uuid4(), "host", 7, "1.0", deaf, 3, None)
    standing = await operations.status(limits=LIMITS)
    [daemon] = standing.daemons
    assert (daemon.name, daemon.version, daemon.in_flight) == ("host:7", "1.0", 3)
    assert daemon.is_alive
    assert standing.verdict is Verdict.DEGRADED
    await outbox.connection.execute(
        "UPDATE stock_sync_daemons SET seen_at = now() - interval '16 seconds'"
    )
    [daemon] = (await operations.status(limits=LIMITS)).daemons
    assert not daemon.is_alive


async def test_a_young_transaction_is_no_snapshot_to_speak_of(
    operations: Operations, another: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with another.transaction(isolation="repeatable_read"):
        await another.fetchval("SELECT count(*) FROM pending_stock_operations")
        assert (await operations.status(limits=LIMITS)).oldest_snapshot is None
        # The query itself finds it, given the age it asks for.
        query = operations._database.query("oldest_snapshot").replace("1 minute", "0 seconds")
        async with operations._database.connection() as connection:
            row = await connection.fetchrow(query)
        assert row is not None
        assert row["pid"] == another.get_server_pid()


@pytest.mark.parametrize("change", ["retry", "cancel"])
async def test_a_row_that_somebody_holds_is_said_at_once_and_holds_up_no_claim(
    operations: Operations, outbox: Outbox, store: Store, change: str
) -> None:
    held = await outbox.insert("held")
    await outbox.insert("free")
    async with outbox.connection.transaction():
        await outbox.connection.execute(
            "SELECT 1 FROM pending_stock_operations WHERE id = $1 FOR UPDATE", held
        )
        async with asyncio.timeout(10):
            with pytest.raises(NotPossible, match="somebody else is changing it"):
                await getattr(operations, change)([held], by="a test")
            assert [push.order_id for push in await claim(store)] == ["free"]
