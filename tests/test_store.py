"""The store: what a claim takes, and what becomes of it."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from stocksync.circuit import Kind, Seen
from stocksync.circuits import SERVICE, Circuits
from stocksync.database import Database
from stocksync.model import Outcome, Push
from stocksync.store import REHEARSAL, Place, Store
from tests.outbox import ACCOUNT, OTHER_ACCOUNT, Outbox, account
from tests.settling import AWAY, DONE, REFUSED, RETRY, TIMEOUT, claim, settle, settlement


def orders(pushes: list[Push]) -> list[str]:
    return [push.order_id for push in pushes]


# --- claim ---------------------------------------------------------------------------------------


async def test_ten_units_are_one_push(store: Store, outbox: Outbox) -> None:
    await outbox.insert_units(10)
    [push] = await claim(store)
    assert (push.balance, push.flag, len(push.rows)) == (10, True, 10)
    assert await outbox.statuses() == {"processing": 10}


async def test_an_order_in_flight_is_not_claimed_again(store: Store, outbox: Outbox) -> None:
    await outbox.insert()
    assert len(await claim(store)) == 1
    late = await outbox.insert()
    assert await claim(store) == []
    assert (await outbox.row(late))["status"] == "pending"


async def test_rows_that_arrived_meanwhile_are_pushed_after_it(
    store: Store, outbox: Outbox
) -> None:
    await outbox.insert()
    first = await claim(store)
    late = await outbox.insert(operation_type="refund")
    await settle(store, first)
    [push] = await claim(store)
    assert [row.id for row in push.rows] == [late]
    assert (push.balance, push.flag) == (0, False)


async def test_the_same_order_id_of_two_accounts_is_two_orders(
    store: Store, outbox: Outbox
) -> None:
    await outbox.insert("order", ACCOUNT)
    await outbox.insert("order", OTHER_ACCOUNT)
    assert len(await claim(store)) == 2


async def test_an_order_is_due_when_any_of_its_rows_is(store: Store, outbox: Outbox) -> None:
    later = await outbox.connection.fetchval("SELECT now() + interval '1 hour'")
    await outbox.insert("waits", next_retry_at=later)
    await outbox.insert("mixed", next_retry_at=later)
    await outbox.insert("mixed")
    [push] = await claim(store)
    assert push.order_id == "mixed"
    assert [row.is_due for row in push.rows] == [False, True]


async def test_an_older_order_is_claimed_first(store: Store, outbox: Outbox) -> None:
    for number in range(5):
        await outbox.insert(f"order-{number}")
    assert orders(await claim(store, 2)) == ["order-0", "order-1"]
    assert orders(await claim(store, 9)) == ["order-2", "order-3", "order-4"]


async def test_accounts_take_turns(store: Store, outbox: Outbox) -> None:
    await outbox.insert_orders(100, token_id=account(1))
    await outbox.insert("fresh", account(2))
    await outbox.insert("fresh", account(3))
    by_account: dict[str, int] = {}
    for push in await claim(store, 20):
        by_account[push.token_id] = by_account.get(push.token_id, 0) + 1
    assert by_account == {account(1): 18, account(2): 1, account(3): 1}


async def test_more_accounts_than_a_claim_holds_all_get_their_turn(
    store: Store, outbox: Outbox
) -> None:
    for number in range(20):
        await outbox.insert_orders(10, token_id=account(number))
    place, by_account = Place(), dict.fromkeys(map(account, range(20)), 0)
    for _ in range(10):
        taken = await store.claim(limit=8, lease_seconds=60, place=place)
        place = taken.next_place
        for push in taken.pushes:
            by_account[push.token_id] += 1
    assert set(by_account.values()) == {4}


async def test_a_backlog_of_waiting_rows_behind_one_order_does_not_hide_the_others(
    store: Store, outbox: Outbox
) -> None:
    await outbox.insert("large")
    [large] = await claim(store)
    await outbox.insert_units(1000, "large")
    await outbox.insert("other")
    assert orders(await claim(store, 10)) == ["other"]
    await settle(store, [large])
    [push] = await claim(store, 10)
    assert len(push.rows) == 1000


async def test_known_places_skip_what_was_claimed_and_a_full_look_finds_the_rest(
    store: Store, outbox: Outbox
) -> None:
    await outbox.insert_orders(30)
    first = await store.claim(limit=10, lease_seconds=60, place=Place())
    await outbox.connection.execute(
        "INSERT INTO pending_stock_operations (token_id, order_id, sku, quantity, next_retry_at)"
        f" VALUES ('{ACCOUNT}', 'before', 'A', 1, now() - interval '1 hour')"
    )
    second = await store.claim(limit=10, lease_seconds=60, place=first.next_place)
    assert "before" not in orders(list(second.pushes))
    assert len(second.pushes) == 10
    assert orders(await claim(store, 1)) == ["before"]


async def test_a_claim_outside_read_committed_is_refused(outbox: Outbox) -> None:
    async with outbox.connection.transaction(isolation="repeatable_read"):
        with pytest.raises(Exception, match="needs READ COMMITTED"):
            await outbox.connection.fetch(
                "SELECT * FROM stock_sync_claim(1, gen_random_uuid(), 60, '', '{}', '{}', '{}')"
            )


# --- the flag ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "balance", "flag"),
    [
        ([("deduction", 1)], 1, True),
        ([("deduction", 2), ("refund", 1)], 1, True),
        ([("deduction", 2), ("refund", 2)], 0, False),
        ([("refund", 1)], -1, False),
        ([("adjustment", 3)], 3, True),
        ([("deduction", 2), ("adjustment", -2)], 0, False),
        ([("deduction", 2**31 - 1), ("deduction", 2**31 - 1)], 2**32 - 2, True),
    ],
)
async def test_the_flag_is_the_sign_of_the_sum(
    store: Store, outbox: Outbox, rows: list[tuple[str, int]], balance: int, flag: bool
) -> None:
    for operation_type, quantity in rows:
        await outbox.insert(operation_type=operation_type, quantity=quantity)
    [push] = await claim(store)
    assert (push.balance, push.flag) == (balance, flag)


async def test_a_balance_carried_from_cleanup_is_part_of_the_sum(
    store: Store, outbox: Outbox
) -> None:
    await outbox.connection.execute(
        "INSERT INTO stock_sync_orders (order_id, token_id, balance) VALUES ('order', $1, 3)",
        ACCOUNT,
    )
    await outbox.insert(operation_type="refund", quantity=2)
    [push] = await claim(store)
    assert (push.balance, push.flag) == (1, True)
    await settle(store, [push])
    order = await outbox.order()
    assert order is not None
    assert order["balance"] == 3


# --- settle --------------------------------------------------------------------------------------


async def test_a_proven_push_completes_all_its_rows_and_says_so_in_the_log(
    store: Store, outbox: Outbox
) -> None:
    row_id = await outbox.insert()
    await outbox.insert_units(2)
    assert await settle(store, await claim(store)) == 0
    assert await outbox.statuses() == {"completed": 3}
    row = await outbox.row(row_id)
    assert row["completed_at"] is not None
    assert (row["attempts"], row["retry_count"], row["claim_token"]) == (1, 0, None)
    assert await outbox.actions(row_id) == ["completed"]
    assert await outbox.order() is None


async def test_a_failure_counts_only_for_the_rows_that_were_due(
    store: Store, outbox: Outbox
) -> None:
    later = await outbox.connection.fetchval("SELECT now() + interval '1 hour'")
    due = await outbox.insert()
    early = await outbox.insert(next_retry_at=later)
    await settle(store, await claim(store), RETRY)
    row = await outbox.row(due)
    assert (row["status"], row["retry_count"]) == ("pending", 1)
    assert row["error_message"] == "500 Internal Server Error"
    assert row["next_retry_at"] - row["updated_at"] == timedelta(seconds=60)
    row = await outbox.row(early)
    assert (row["status"], row["retry_count"], row["next_retry_at"]) == ("pending", 0, later)
    assert row["error_message"] is None
    assert await outbox.actions(due) == ["retry"]
    assert await outbox.actions(early) == []


async def test_a_failure_of_the_environment_counts_once_until_something_is_proven(
    store: Store, outbox: Outbox
) -> None:
    async def retries_after_failure() -> int:
        await outbox.make_due()
        await settle(store, await claim(store), AWAY)
        count: int = (await outbox.row(row_id))["retry_count"]
        return count

    row_id = await outbox.insert()
    assert [await retries_after_failure() for _ in range(3)] == [1, 1, 1]
    await outbox.insert("another")
    await settle(store, await claim(store))
    assert [await retries_after_failure() for _ in range(3)] == [2, 2, 2]


async def test_max_2_is_three_attempts_and_2_in_the_column(store: Store, outbox: Outbox) -> None:
    row_id = await outbox.insert(max_retries=2)
    for _ in range(3):
        await settle(store, await claim(store), RETRY)
        await outbox.make_due()
    row = await outbox.row(row_id)
    assert (row["status"], row["retry_count"], row["attempts"]) == ("failed", 2, 3)
    assert await outbox.actions(row_id) == ["retry", "retry", "failed"]


async def test_max_0_is_one_attempt(store: Store, outbox: Outbox) -> None:
    row_id = await outbox.insert(max_retries=0)
    await settle(store, await claim(store), RETRY)
    row = await outbox.row(row_id)
    assert (row["status"], row["retry_count"], row["attempts"]) == ("failed", 0, 1)


async def test_a_422_fails_at_once_with_the_reason_of_the_service(
    store: Store, outbox: Outbox
) -> None:
    row_id = await outbox.insert()
    await settle(store, await claim(store), REFUSED)
    row = await outbox.row(row_id)
    assert (row["status"], row["retry_count"]) == ("failed", 0)
    assert row["error_message"] == "token_id: not a UUID"


async def test_a_proven_push_also_completes_the_failed_rows_in_its_sum(
    store: Store, outbox: Outbox
) -> None:
    failed = await outbox.insert(max_retries=0)
    await settle(store, await claim(store), RETRY)
    fresh = await outbox.insert()
    [push] = await claim(store)
    assert (push.balance, push.failed_ids) == (2, (failed,))
    await settle(store, [push])
    assert await outbox.statuses() == {"completed": 2}
    assert await outbox.actions(failed) == ["failed", "completed"]
    assert await outbox.actions(fresh) == ["completed"]
    assert await outbox.order() is None


async def test_a_failed_push_leaves_the_failed_rows_in_its_sum_failed(
    store: Store, outbox: Outbox
) -> None:
    failed = await outbox.insert(max_retries=0)
    await settle(store, await claim(store), RETRY)
    await outbox.insert()
    await settle(store, await claim(store), RETRY)
    assert (await outbox.row(failed))["status"] == "failed"
    assert await outbox.order() is None


async def test_one_call_settles_any_mix(store: Store, outbox: Outbox) -> None:
    for order_id in ("done", "retry", "refused", "ambiguous"):
        await outbox.insert(order_id)
    outcomes: dict[str, Outcome] = {
        "done": DONE,
        "retry": RETRY,
        "refused": REFUSED,
        "ambiguous": TIMEOUT,
    }
    pushes = await claim(store)
    await store.settle([settlement(push, outcomes[push.order_id]) for push in pushes])
    assert await outbox.statuses() == {"completed": 1, "pending": 2, "failed": 1}
    assert await outbox.order("retry") is None
    assert await outbox.order("ambiguous") is not None


# --- leases and fences ---------------------------------------------------------------------------


async def test_a_lost_lease_cannot_overwrite_its_successor(store: Store, outbox: Outbox) -> None:
    row_id = await outbox.insert()
    lost = await claim(store)
    await outbox.expire_leases()
    await store.rescue()
    await settle(store, await claim(store))
    before = await outbox.row(row_id)
    assert await settle(store, lost, RETRY) == 1
    assert await outbox.row(row_id) == before
    assert await outbox.actions(row_id) == ["lease_expired", "completed"]


async def test_a_lost_lease_cannot_settle_what_its_successor_holds(
    store: Store, outbox: Outbox
) -> None:
    row_id = await outbox.insert()
    lost = await claim(store)
    await outbox.expire_leases()
    await store.rescue()
    successor = await claim(store)
    assert await settle(store, lost) == 1
    await store.release(lost)
    assert await store.renew(lost, lease_seconds=60) == []
    assert (await outbox.row(row_id))["status"] == "processing"
    assert await settle(store, successor) == 0


async def test_an_expired_lease_is_claimable_again_and_its_order_ambiguous(
    store: Store, outbox: Outbox
) -> None:
    await outbox.insert_units(3)
    await claim(store)
    assert (await store.rescue()).row_count == 0
    await outbox.expire_leases()
    assert (await store.rescue()).row_count == 3
    order = await outbox.order()
    assert order is not None
    assert order["ambiguous_at"] is not None
    [push] = await claim(store)
    assert len(push.rows) == 3
    await settle(store, [push])
    assert await outbox.order() is not None, "the old call may still arrive: it stays ambiguous"


async def test_a_timeout_makes_the_order_ambiguous_and_the_last_one_counts(
    store: Store, outbox: Outbox
) -> None:
    await outbox.insert()
    await settle(store, await claim(store), TIMEOUT)
    first = await outbox.order()
    await outbox.make_due()
    await settle(store, await claim(store), TIMEOUT)
    second = await outbox.order()
    assert first is not None
    assert second is not None
    assert second["ambiguous_at"] > first["ambiguous_at"]


async def test_a_lost_lease_makes_the_order_ambiguous_again(store: Store, outbox: Outbox) -> None:
    await outbox.insert()
    lost = await claim(store)
    await outbox.expire_leases()
    await store.rescue()
    await outbox.connection.execute("DELETE FROM stock_sync_orders")
    await settle(store, lost)
    order = await outbox.order()
    assert order is not None
    assert order["ambiguous_at"] is not None


async def test_what_is_released_is_as_if_it_had_never_been_claimed(
    store: Store, outbox: Outbox
) -> None:
    row_id = await outbox.insert()
    before = await outbox.row(row_id)
    await store.release(await claim(store))
    after = await outbox.row(row_id)
    assert {**after, "updated_at": None} == {**before, "updated_at": None}
    assert await outbox.actions(row_id) == []
    assert len(await claim(store)) == 1


async def test_a_renewed_lease_outlives_its_first_end(store: Store, outbox: Outbox) -> None:
    await outbox.insert_units(2)
    pushes = await claim(store, lease_seconds=1)
    first = (await outbox.rows())[0]["lease_until"]
    assert await store.renew(pushes, lease_seconds=100) == pushes
    rows = await outbox.rows()
    assert {row["lease_until"] - first > timedelta(seconds=90) for row in rows} == {True}


async def test_a_renewal_tells_a_lost_claim_from_a_newer_one_of_the_same_order(
    store: Store, outbox: Outbox
) -> None:
    await outbox.insert()
    lost = await claim(store)
    await outbox.expire_leases()
    await store.rescue()
    newer = await claim(store)
    assert await store.renew(lost + newer, lease_seconds=60) == newer
    assert await store.renew(newer + lost, lease_seconds=60) == newer


@pytest.mark.parametrize("is_lost_first", [True, False])
async def test_to_give_back_a_lost_claim_does_not_hide_a_newer_one_of_the_same_order(
    store: Store, outbox: Outbox, *, is_lost_first: bool
) -> None:
    await outbox.insert()
    lost = await claim(store)
    await outbox.expire_leases()
    await store.rescue()
    newer = await claim(store)
    await store.release(lost + newer if is_lost_first else newer + lost)
    assert await outbox.statuses() == {"pending": 1}


async def test_an_order_that_somebody_else_holds_waits_and_the_others_do_not(
    store: Store, outbox: Outbox
) -> None:
    held = await outbox.insert("held")
    await outbox.insert("held")
    await outbox.insert("free")
    transaction = outbox.connection.transaction()
    await transaction.start()
    await outbox.connection.execute(
        "SELECT 1 FROM pending_stock_operations WHERE id = $1 FOR UPDATE", held
    )
    async with asyncio.timeout(10):
        assert orders(await claim(store)) == ["free"]
    await transaction.rollback()
    [push] = await claim(store)
    assert (push.order_id, len(push.rows)) == ("held", 2)


async def test_a_row_that_somebody_holds_is_settled_later_and_holds_up_no_other(
    store: Store, outbox: Outbox
) -> None:
    held = await outbox.insert("held")
    await outbox.insert("free")
    pushes = await claim(store)
    async with outbox.connection.transaction():
        await outbox.connection.execute(
            "SELECT 1 FROM pending_stock_operations WHERE id = $1 FOR UPDATE", held
        )
        async with asyncio.timeout(10):
            settled = await store.settle([settlement(push) for push in pushes])
            assert len(await store.renew(pushes, lease_seconds=60)) == 1
        assert (settled.blocked, settled.lost) == (frozenset({held}), frozenset())
    assert await outbox.statuses() == {"completed": 1, "processing": 1}
    assert await settle(store, [p for p in pushes if p.order_id == "held"]) == 0
    assert await outbox.statuses() == {"completed": 2}


async def test_orders_that_somebody_holds_do_not_hide_those_behind_them(
    store: Store, outbox: Outbox
) -> None:
    await outbox.insert_orders(60)
    async with outbox.connection.transaction():
        await outbox.connection.execute(
            "SELECT 1 FROM pending_stock_operations ORDER BY seq LIMIT 50 FOR UPDATE"
        )
        assert len(await claim(store, 8)) == 8
        assert len(await claim(store, 8)) == 2


# --- orders pushed for their own sake ------------------------------------------------------------


async def want_push(outbox: Outbox, order_id: str = "order") -> None:
    await outbox.connection.execute(
        "INSERT INTO stock_sync_orders (order_id, token_id, push_due_at) VALUES ($1, $2, now())"
        " ON CONFLICT (order_id, token_id) DO UPDATE SET push_due_at = now()",
        order_id,
        ACCOUNT,
    )


async def test_an_order_without_pending_rows_is_pushed_for_its_own_sake(
    store: Store, outbox: Outbox
) -> None:
    row_id = await outbox.insert()
    await settle(store, await claim(store))
    await want_push(outbox)
    [push] = await claim(store)
    assert (push.rows, push.balance, push.attempt) == ((), 1, 0)
    assert await claim(store) == []
    await settle(store, [push])
    assert await outbox.order() is None
    assert await outbox.actions(row_id) == ["completed", "pushed_again"]


async def test_a_failed_push_for_its_own_sake_is_tried_again_ever_more_rarely(
    store: Store, outbox: Outbox
) -> None:
    await outbox.insert()
    await settle(store, await claim(store))
    await want_push(outbox)
    for attempt, delay in enumerate((60, 120, 240)):
        [push] = await claim(store)
        assert push.attempt == attempt
        before = await outbox.connection.fetchval("SELECT now()")
        await settle(store, [push], RETRY)
        order = await outbox.order()
        assert order is not None
        waits = order["push_due_at"] - before
        assert timedelta(seconds=delay) <= waits < timedelta(seconds=delay + 10)
        await outbox.make_due()


async def test_a_push_asked_for_during_a_push_comes_after_it(store: Store, outbox: Outbox) -> None:
    await outbox.insert()
    pushes = await claim(store)
    await want_push(outbox)
    assert await claim(store) == []
    await settle(store, pushes)
    [push] = await claim(store)
    await want_push(outbox)
    await settle(store, [push])
    assert len(await claim(store)) == 1


async def test_a_due_row_takes_the_asked_for_push_with_it(store: Store, outbox: Outbox) -> None:
    await outbox.insert()
    await want_push(outbox)
    [push] = await claim(store)
    assert (len(push.rows), push.attempt) == (1, 0)
    await settle(store, [push])
    assert await outbox.order() is None


async def test_an_expired_push_for_its_own_sake_is_made_again(store: Store, outbox: Outbox) -> None:
    await outbox.insert()
    await settle(store, await claim(store))
    await want_push(outbox)
    lost = await claim(store)
    await outbox.expire_leases()
    assert (await store.rescue()).order_count == 1
    [push] = await claim(store)
    await settle(store, lost)
    order = await outbox.order()
    assert order is not None
    assert order["claim_token"] == push.claim_token


async def test_a_released_push_for_its_own_sake_is_due_again(store: Store, outbox: Outbox) -> None:
    await outbox.insert()
    await settle(store, await claim(store))
    await want_push(outbox)
    await store.release(await claim(store))
    assert len(await claim(store)) == 1


async def test_orders_to_be_pushed_again_leave_room_for_fresh_rows(
    store: Store, outbox: Outbox
) -> None:
    await outbox.insert_orders(50)
    await settle(store, await claim(store))
    for number in range(1, 51):
        await want_push(outbox, f"order-{number}")
    await outbox.connection.execute(
        "INSERT INTO pending_stock_operations (token_id, order_id, sku, quantity)"
        f" SELECT '{ACCOUNT}', 'fresh-' || n, 'A', 1 FROM generate_series(1, 50) n"
    )
    fresh = [order for order in orders(await claim(store, 20)) if order.startswith("fresh")]
    assert len(fresh) == 15


async def test_accounts_keep_their_turns_while_orders_are_pushed_again(
    store: Store, outbox: Outbox
) -> None:
    for number in range(16):
        await outbox.insert_orders(40, token_id=account(number))
    await outbox.connection.execute(
        "INSERT INTO stock_sync_orders (order_id, token_id, push_due_at)"
        f" SELECT 'again-' || n, '{account(0)}', now() FROM generate_series(1, 200) n"
    )
    place, by_account = Place(), dict.fromkeys(map(account, range(16)), 0)
    for _ in range(16):
        taken = await store.claim(limit=8, lease_seconds=60, place=place)
        place = taken.next_place
        for push in taken.pushes:
            by_account[push.token_id] += bool(push.rows)
    assert set(by_account.values()) == {6}


async def test_a_claim_of_one_serves_fresh_rows_and_orders_to_be_pushed_again(
    store: Store, outbox: Outbox
) -> None:
    await outbox.insert_orders(100)
    await outbox.connection.execute(
        "INSERT INTO stock_sync_orders (order_id, token_id, push_due_at)"
        f" SELECT 'again-' || n, '{ACCOUNT}', now() FROM generate_series(1, 100) n"
    )
    kinds = {bool((await claim(store, 1))[0].rows) for _ in range(100)}
    # By chance, one in four: the odds that a hundred are alike are 3 in 10^13.
    assert kinds == {True, False}


async def test_a_database_with_another_isolation_level_by_default_is_served_too(
    dsn: str, outbox: Outbox
) -> None:
    name = await outbox.connection.fetchval("SELECT current_database()")
    await outbox.connection.execute(
        f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'"
    )
    await outbox.insert()
    for is_pgbouncer in (False, True):
        async with Database(url=dsn, is_pgbouncer=is_pgbouncer) as database:
            store = Store(database=database, by="a test")
            pushes = await claim(store)
            assert len(pushes) == 1
            await store.release(pushes)


# --- probes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", [SERVICE, ACCOUNT], ids=["service", "account"])
async def test_probes_go_one_second_after_it_opened_and_then_doubling_up_to_thirty(
    store: Store, database: Database, outbox: Outbox, of: str
) -> None:
    async def circuit(what: str) -> Any:  # noqa: ANN401 - SQL's type
        return await outbox.connection.fetchval(
            f"SELECT {what} FROM stock_sync_circuits WHERE token_id = $1 AND is_open", of
        )

    await outbox.insert_orders(10)
    kind = Kind.FAILED if of == SERVICE else Kind.TOKEN
    failure = Seen(account=ACCOUNT, order="order-1", kind=kind, reason="a test")
    await Circuits(database=database, failures=1).feed([failure])
    # The clock is read for each of the two.
    assert await circuit("probe_at - opened_at") == pytest.approx(
        timedelta(seconds=1), abs=timedelta(milliseconds=100)
    )

    distances = []
    for _ in range(7):
        await outbox.connection.execute(
            "UPDATE stock_sync_circuits SET probe_at = now() + interval '1 hour'"
        )
        assert await claim(store) == [], "not before its time"
        await outbox.connection.execute("UPDATE stock_sync_circuits SET probe_at = now()")
        [probe] = await claim(store, lease_seconds=60)
        assert probe.is_probe
        # The row's lease and the next probe are counted from the same moment.
        claimed_at = (await outbox.row(probe.rows[0].id))["lease_until"] - timedelta(seconds=60)
        distances.append((await circuit("probe_at") - claimed_at).total_seconds())
        await settle(store, [probe], AWAY)
    assert distances == [2, 4, 8, 16, 30, 30, 30]
    assert {row["retry_count"] for row in await outbox.rows()} == {0}, "a probe is no retry"


async def test_a_parked_account_has_one_probe_however_often_a_claim_looks_again(
    store: Store, database: Database, outbox: Outbox
) -> None:
    await outbox.insert_orders(20, token_id=OTHER_ACCOUNT)
    failure = Seen(account=OTHER_ACCOUNT, order="order-1", kind=Kind.TOKEN, reason="a test")
    await Circuits(database=database, failures=1).feed([failure])
    await outbox.connection.execute("UPDATE stock_sync_circuits SET probe_at = now() WHERE is_open")
    # Of so many rows each that the first window is too small for a whole claim.
    await outbox.insert_orders(60, units=30, token_id=ACCOUNT)
    pushes = await claim(store, 50)
    assert sorted(push.is_probe for push in pushes) == [False] * 49 + [True]
    probes = "SELECT probes FROM stock_sync_circuits WHERE is_open"
    assert await outbox.connection.fetchval(probes) == 1


async def test_an_order_of_a_parked_account_that_is_pushed_for_its_own_sake_is_its_probe(
    store: Store, database: Database, outbox: Outbox
) -> None:
    for parked in (OTHER_ACCOUNT, account(7)):
        failure = Seen(account=parked, order="order-1", kind=Kind.TOKEN, reason="a test")
        proof = Seen(account=ACCOUNT, order="order-1", kind=Kind.PROVEN)
        # Two in a row without a proof would be the service's fault.
        await Circuits(database=database, failures=1).feed([failure, proof])
    await outbox.connection.execute("UPDATE stock_sync_circuits SET probe_at = now() WHERE is_open")
    await outbox.connection.execute(
        "INSERT INTO stock_sync_orders (order_id, token_id, push_due_at)"
        f" SELECT 'again-' || n, '{OTHER_ACCOUNT}', now() FROM generate_series(1, 3) n"
    )
    await outbox.insert_orders(2, token_id=ACCOUNT)
    pushes = await claim(store, 20)
    assert sorted((push.token_id, push.is_probe) for push in pushes) == sorted(
        [(ACCOUNT, False), (ACCOUNT, False), (OTHER_ACCOUNT, True)]
    )
    probed = "SELECT token_id FROM stock_sync_circuits WHERE probes > 0"
    assert [row[0] for row in await outbox.connection.fetch(probed)] == [OTHER_ACCOUNT]


async def test_a_probe_that_hangs_or_whose_daemon_died_holds_up_the_next_for_half_a_lease(
    store: Store, database: Database, outbox: Outbox
) -> None:
    await outbox.insert_orders(2)
    failure = Seen(account=ACCOUNT, order="order-1", kind=Kind.FAILED, reason="a test")
    await Circuits(database=database, failures=1).feed([failure])
    probe_now = "UPDATE stock_sync_circuits SET probe_at = now()"
    await outbox.connection.execute(probe_now)
    [probe] = await claim(store, lease_seconds=60)
    await outbox.connection.execute(probe_now)
    assert await claim(store) == []
    lease_until = (await outbox.row(probe.rows[0].id))["lease_until"]
    probe_until = await outbox.connection.fetchval("SELECT probe_until FROM stock_sync_circuits")
    assert lease_until - probe_until == timedelta(seconds=30)
    await outbox.connection.execute("UPDATE stock_sync_circuits SET probe_until = now()")
    [other] = await claim(store)
    assert other.order_id != probe.order_id


@pytest.mark.parametrize("kind", [Kind.FAILED, Kind.TOKEN])
async def test_a_failure_settled_just_before_the_circuit_opened_does_not_wait_for_its_retry(
    store: Store, database: Database, outbox: Outbox, kind: Kind
) -> None:
    circuits = Circuits(database=database, failures=1)
    row_ids = [await outbox.insert(order_id) for order_id in ("opens it", "comes late")]
    await settle(store, await claim(store), AWAY)
    for order_id in ("opens it", "comes late"):
        await circuits.feed([Seen(account=ACCOUNT, order=order_id, kind=kind, reason="a test")])
    for row_id in row_ids:
        assert (await outbox.row(row_id))["next_retry_at"] <= await outbox.connection.fetchval(
            "SELECT clock_timestamp()"
        )


# --- rehearsal -----------------------------------------------------------------------------------


@pytest.mark.parametrize("is_away", [False, True])
async def test_a_new_connection_rehearses_and_changes_nothing(
    dsn: str, outbox: Outbox, database: Database, is_away: bool
) -> None:
    await outbox.insert_orders(3)
    if is_away:
        # A probe is due: the rehearsal of a claim would take it.
        failure = Seen(account=ACCOUNT, order="order-1", kind=Kind.FAILED, reason="a test")
        await Circuits(database=database, failures=1).feed([failure])
        await outbox.connection.execute("UPDATE stock_sync_circuits SET probe_at = now()")
    look = (
        "SELECT jsonb_agg(o ORDER BY o.seq), (SELECT jsonb_agg(c) FROM stock_sync_circuits c)"
        " FROM pending_stock_operations o"
    )
    before = await outbox.connection.fetchrow(look)
    async with Database(url=dsn, max_connections=2, rehearsal=REHEARSAL) as rehearsed:
        await rehearsed.open(2)
        assert await outbox.connection.fetchrow(look) == before
        async with rehearsed.connection() as connection:
            # No error that a new connection would pass over.
            for name in REHEARSAL:
                transaction = connection.transaction()
                await transaction.start()
                await connection.execute(rehearsed.query(name))
                await transaction.rollback()
        pushes = await claim(Store(database=rehearsed, by="a test"))
    assert len(pushes) == (1 if is_away else 3)


async def test_without_tables_a_rehearsal_is_no_error(dsn: str, outbox: Outbox) -> None:
    await outbox.connection.execute("DROP FUNCTION stock_sync_claim")
    async with Database(url=dsn, rehearsal=REHEARSAL) as database:
        assert await database.fetchrow("schema_state", "public") is not None
