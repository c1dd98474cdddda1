"""Reconcile: wrong flags are found and repaired, right ones are left alone, whatever happens."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from stocksync.database import Database
from stocksync.demo.microservice.faults import Delivery, Effect, Fault, Matches
from stocksync.gateway import Health
from stocksync.model import ServiceUnavailable
from stocksync.operations import Operations
from stocksync.reconcile import Act, EndedEarly
from stocksync.reconcile.comparison import CHUNK, FALSE_IN_A_ROW, MOST_DOUBTED
from stocksync.reconcile.reconcile import VERIFY_LIMIT
from stocksync.reconcile.windows import shares, windows
from tests.daemons import running_daemon
from tests.outbox import Outbox
from tests.reconciling import Sides, both_sides
from tests.relaying import running_relay, until, until_all, until_async
from tests.service import OTHER_TOKEN_ID, TOKEN_ID, running_stand_in
from tests.test_monitor import monitor
from tests.test_query_plans import pages

FLAGS = "technical_flags"


@pytest.fixture
async def sides(dsn: str, outbox: Outbox, database: Database) -> AsyncIterator[Sides]:
    async with (
        running_stand_in() as stand_in,
        both_sides(dsn, outbox, stand_in, database) as sides,
    ):
        yield sides


# --- a discrepancy -------------------------------------------------------------------------------


async def test_a_flipped_flag_is_repaired_by_the_next_run_and_logged_with_both_values(
    sides: Sides,
) -> None:
    row_id = await sides.outbox.insert("order", TOKEN_ID)
    await sides.push_all()
    sides.flip("order")
    async with running_relay(sides.dsn, sides.stand_in, poll_interval_seconds=60):
        report = await sides.run()
        # It is pushed at once: the relay was woken.
        await until(sides.flag)
    assert report.as_result() == {
        "checked": 1,
        "found": 1,
        "repaired": 1,
        "left": 0,
        "given_up": 0,
        "skipped": 0,
        "not_reached": 0,
    }
    [entry] = await sides.entries("reconciled")
    assert json.loads(entry) == {"wanted": True, "found": False, "act": "repaired", "by": "a test"}
    [event] = await sides.events()
    assert (event["token_id"], event["order_id"]) == (TOKEN_ID, "order")
    details = json.loads(event["details"])
    assert (details["wanted"], details["found"], details["act"]) == (True, False, "repaired")
    completed_at = (await sides.outbox.row(row_id))["completed_at"]
    assert datetime.fromisoformat(details["settled_at"]) == completed_at
    assert await sides.outbox.actions(row_id) == ["completed", "reconciled", "pushed_again"]


async def test_a_refunded_order_whose_flag_is_still_true_is_repaired_too(sides: Sides) -> None:
    await sides.settle("order")
    await sides.outbox.insert("order", TOKEN_ID, operation_type="refund")
    await sides.push_all()
    sides.flip("order")
    [found] = (await sides.run()).discrepancies
    assert (found.wanted, found.found, found.act) == (False, True, Act.REPAIRED)
    await sides.push_all()
    assert sides.flag() is False


async def test_right_flags_change_nothing_and_leave_no_trace(sides: Sides) -> None:
    await sides.settle("one", "two")
    before = await sides.dump()
    report = await sides.run()
    assert (report.checked, report.found) == (2, 0)
    assert await sides.dump() == before


async def test_an_older_discrepancy_is_told_once_and_not_touched(sides: Sides) -> None:
    await sides.settle("order")
    sides.flip("order")
    await sides.pass_time(25)
    before = await sides.dump()
    for _ in range(2):
        [found] = (await sides.reconcile().sweep()).discrepancies
        assert found.act is Act.LEFT
    after = await sides.dump()
    assert len(await sides.events()) == 1
    [entry] = await sides.entries("discrepancy")
    assert json.loads(entry)["act"] == "left"
    for table in ("pending_stock_operations", "stock_sync_orders"):
        assert after[table] == before[table]
    # A week later, once more.
    await sides.pass_time(24 * 7)
    await sides.reconcile().sweep()
    assert len(await sides.events()) == 2


async def test_the_threshold_is_that_of_the_setting(sides: Sides) -> None:
    await sides.settle("order")
    sides.flip("order")
    await sides.pass_time(25)
    [found] = (await sides.reconcile(threshold_hours=26).sweep(is_dry_run=True)).discrepancies
    assert found.act is Act.REPAIRED


async def test_a_flag_flipped_back_again_and_again_is_given_up_for_a_day_and_told_once(
    sides: Sides,
) -> None:
    await sides.settle("order")
    acts = []
    for _ in range(5):
        sides.stand_in.microservice.flags[TOKEN_ID, "order"].is_stock_updated = False
        report = await sides.run()
        acts += [found.act for found in report.discrepancies]
        await sides.push_all()
    assert acts == [Act.REPAIRED] * 3 + [Act.GIVEN_UP] * 2
    told = [json.loads(event["details"])["act"] for event in await sides.events()]
    assert told == ["repaired", "repaired", "repaired", "given_up"]
    # A day after the last repair it is tried again; with a threshold that still allows it.
    await sides.pass_time(24.1)
    [found] = (await sides.reconcile(threshold_hours=48).sweep()).discrepancies
    assert found.act is Act.REPAIRED


async def test_repairs_are_forgotten_after_a_day(sides: Sides) -> None:
    await sides.settle("one", "two")
    sides.flip("one", "two")
    await sides.run()
    await sides.push_all()
    await sides.outbox.connection.execute(
        "UPDATE stock_sync_orders SET balance = 1 WHERE order_id = 'two'"
    )
    await sides.pass_time(23)
    await sides.reconcile().verify()
    assert await sides.outbox.order("one", TOKEN_ID)
    await sides.pass_time(2)
    await sides.reconcile().verify()
    assert await sides.outbox.order("one", TOKEN_ID) is None
    kept = await sides.outbox.order("two", TOKEN_ID)
    assert kept
    assert (kept["repairs"], kept["repaired_at"], kept["balance"]) == (0, None, 1)


async def test_an_order_of_ten_thousand_rows_is_repaired_and_logged_on_its_newest(
    sides: Sides,
) -> None:
    await sides.outbox.insert_units(10_000, "order", TOKEN_ID)
    await sides.push_all()
    sides.flip("order")
    assert (await sides.run()).repaired == 1
    newest = await sides.outbox.connection.fetch(
        "SELECT FROM (SELECT id FROM pending_stock_operations ORDER BY seq DESC LIMIT 100) n"
        " JOIN stock_synchronization_logs l ON l.operation_id = n.id WHERE l.action = 'reconciled'"
    )
    assert len(newest) == len(await sides.entries("reconciled")) == 100
    await sides.push_all()
    assert sides.flag()


async def test_odd_order_ids_are_compared_like_others(sides: Sides) -> None:
    odd = ("заказ 1", "a%2Fb", "?x=1#y", 'it\'s; "q"+', "  ", "x" * 500)
    await sides.settle(*odd)
    sides.flip(*odd)
    report = await sides.reconcile().sweep()
    assert {found.order_id for found in report.discrepancies} == set(odd)
    await sides.push_all()
    assert all(sides.flag(order_id) for order_id in odd)


async def test_a_dry_run_changes_nothing_at_all(sides: Sides) -> None:
    await sides.settle("young", "old", "right", "ambiguous")
    await sides.pass_time(30, "old")
    sides.flip("young", "old")
    await sides.mark_ambiguous("ambiguous")
    before = await sides.dump()
    report = await sides.reconcile().sweep(is_dry_run=True)
    assert {d.order_id: d.act for d in report.discrepancies} == {
        "young": Act.REPAIRED,
        "old": Act.LEFT,
    }
    assert report.checked == 4
    assert await sides.dump() == before


# --- no discrepancy ------------------------------------------------------------------------------


UNFINISHED = {
    "pending": """
        UPDATE pending_stock_operations SET status = 'pending', completed_at = NULL,
            next_retry_at = now() + interval '1 hour' WHERE sku = 'second'""",
    "failed": """
        UPDATE pending_stock_operations SET status = 'failed', completed_at = NULL
        WHERE sku = 'second'""",
    "processing": """
        UPDATE pending_stock_operations SET status = 'processing', completed_at = NULL,
            claim_token = gen_random_uuid(), claim_no = 1, lease_until = now() + interval '1 hour'
        WHERE sku = 'second'""",
    "to be pushed": """
        INSERT INTO stock_sync_orders (order_id, token_id, push_due_at)
        SELECT order_id, token_id, now() + interval '1 hour' FROM pending_stock_operations
        WHERE sku = 'second'""",
    "in flight": """
        INSERT INTO stock_sync_orders (order_id, token_id, claim_token, lease_until)
        SELECT order_id, token_id, gen_random_uuid(), now() + interval '1 hour'
        FROM pending_stock_operations WHERE sku = 'second'""",
    "just ambiguous": """
        INSERT INTO stock_sync_orders (order_id, token_id, ambiguous_at)
        SELECT order_id, token_id, now() - interval '50 s' FROM pending_stock_operations
        WHERE sku = 'second'""",
}


@pytest.mark.parametrize("unfinished", UNFINISHED.values(), ids=UNFINISHED)
async def test_an_order_that_is_not_settled_is_not_even_read(sides: Sides, unfinished: str) -> None:
    await sides.outbox.insert("order", TOKEN_ID)
    await sides.outbox.insert("order", TOKEN_ID, sku="second")
    await sides.push_all()
    sides.flip("order")
    await sides.outbox.connection.execute(unfinished)
    for report in (await sides.run(), await sides.reconcile().sweep()):
        assert (report.found, report.skipped) == (0, 1)
    assert sides.reads == []


async def _insert(sides: Sides) -> None:
    await sides.outbox.insert("order", TOKEN_ID, operation_type="refund")


async def _insert_and_push(sides: Sides) -> None:
    await _insert(sides)
    await sides.push_all()


async def _cancel_and_push(sides: Sides) -> None:
    row_id = await sides.outbox.insert("order", TOKEN_ID, operation_type="refund")
    await Operations(database=sides.database).cancel([row_id], by="somebody")
    async with running_relay(sides.dsn, sides.stand_in, is_listening=False):
        await sides.stand_in.until(sides.flag)
        await until_async(lambda: _is_quiet(sides))


async def _is_quiet(sides: Sides) -> bool:
    return (await sides.outbox.order("order", TOKEN_ID)) is None


async def _become_ambiguous(sides: Sides) -> None:
    await sides.mark_ambiguous("order", seconds_ago=0)


async def _other_run(sides: Sides) -> None:
    sides.before_answer = None
    assert (await sides.run()).repaired == 1
    await sides.push_all()


async def _cleanup(sides: Sides) -> None:
    await sides.outbox.connection.execute(
        "WITH gone AS (DELETE FROM pending_stock_operations RETURNING *)"
        " INSERT INTO stock_sync_orders (order_id, token_id, balance)"
        " SELECT order_id, token_id, sum(quantity) FROM gone GROUP BY 1, 2"
    )


@pytest.mark.parametrize(
    "meanwhile",
    [_insert, _insert_and_push, _cancel_and_push, _become_ambiguous, _other_run, _cleanup],
)
async def test_what_happens_while_the_flag_is_read_makes_no_discrepancy(
    sides: Sides, meanwhile: Callable[[Sides], Awaitable[None]]
) -> None:
    await sides.settle("order")
    sides.flip("order")

    async def happens(_: str) -> None:
        sides.before_answer = None
        await meanwhile(sides)

    sides.before_answer = happens
    events = 1 if meanwhile is _other_run else 0
    report = await sides.run()
    assert (report.checked, report.found, report.skipped) == (0, 0, 1)
    assert len(await sides.events()) == events


async def test_two_runs_at_once_repair_once(sides: Sides) -> None:
    await sides.settle("order")
    sides.flip("order")
    both_read = asyncio.Barrier(2)

    async def wait_for_the_other(_: str) -> None:
        await both_read.wait()

    sides.before_answer = wait_for_the_other
    reports = await asyncio.gather(sides.run(), sides.reconcile().sweep())
    assert sorted(report.repaired for report in reports) == [0, 1]
    assert len(await sides.events()) == 1


async def test_orders_of_parked_and_paused_accounts_are_passed_over(sides: Sides) -> None:
    await sides.settle("order", "other")
    await sides.settle("order", token_id=OTHER_TOKEN_ID)
    sides.flip("order", "other")
    for held in ("is_open = true", "is_open = false, paused_until = now() + interval '1 hour'"):
        await sides.outbox.connection.execute(
            "INSERT INTO stock_sync_circuits (token_id) VALUES ($1) ON CONFLICT DO NOTHING",
            TOKEN_ID,
        )
        await sides.outbox.connection.execute(
            f"UPDATE stock_sync_circuits SET {held} WHERE token_id = $1", TOKEN_ID
        )
        report = await sides.run()
        assert (report.checked, report.skipped, report.found) == (1, 2, 0)


# --- a service that cannot be believed -----------------------------------------------------------

NOT_CREDIBLE = {
    "503": Effect(status=503, content="Service Unavailable"),
    "404 of a lost database": Effect(status=404, content={"detail": "Токен не найден"}),
    "500": Effect(status=500, content="Internal Server Error"),
    "not JSON": Effect(status=200, content="<html>"),
    "another order": Effect(
        status=200,
        content={"order_id": "x", "technical_flags": {"is_stock_updated": False}},
    ),
    "no flag": Effect(status=200, content={"order_id": "order-1", "technical_flags": {}}),
}


@pytest.mark.parametrize("effect", NOT_CREDIBLE.values(), ids=NOT_CREDIBLE)
async def test_a_service_that_cannot_be_believed_ends_the_run_without_a_discrepancy(
    sides: Sides, effect: Effect
) -> None:
    orders = [f"order-{n}" for n in range(10)]
    await sides.settle(*orders)
    sides.flip(*orders)
    before = await sides.dump()
    sides.stand_in.inject(Fault(effect=effect, matches=Matches(route=FLAGS)))
    with pytest.raises(EndedEarly) as ended:
        await sides.run()
    assert ended.value.report.as_result() == {
        "checked": 0,
        "found": 0,
        "repaired": 0,
        "left": 0,
        "given_up": 0,
        "skipped": 0,
        "not_reached": 10,
    }
    # Those that were under way, and one more that was to tell whether it is the service.
    assert len(sides.reads) <= 4
    assert await sides.dump() == before


async def test_a_service_that_is_gone_ends_the_run(sides: Sides) -> None:
    await sides.settle("one", "two")
    await sides.stand_in.stop_listening()
    with pytest.raises(EndedEarly, match="no connection"):
        await sides.run()


async def test_it_ends_where_the_service_goes_away_and_says_after_how_many(sides: Sides) -> None:
    count = CHUNK + 10
    await sides.settle(*[f"order-{n:03}" for n in range(count)])
    sides.flip("order-000", f"order-{count - 1:03}")

    async def goes(_: str) -> None:
        if len(sides.reads) >= CHUNK + 2:
            await sides.stand_in.stop_listening()

    sides.before_answer = goes
    with pytest.raises(EndedEarly, match=f"after {CHUNK} orders were compared") as ended:
        await sides.reconcile().sweep()
    assert [found.order_id for found in ended.value.report.discrepancies] == ["order-000"]
    assert ended.value.report.not_reached == 10


async def lose(sides: Sides, count: int) -> list[str]:
    """Orders that are settled, and a service that lost the flags of all of them."""
    orders = [f"order-{n:04}" for n in range(count)]
    await sides.settle(*orders)
    sides.flip(*orders)
    return orders


UNWELL = {
    "it lost its database": Effect(status=200, content={"database": "disconnected"}),
    "a proxy answers": Effect(status=503, content="Service Unavailable"),
    "nobody answers": Effect(delivery=Delivery.RESET),
}


@pytest.mark.parametrize("effect", UNWELL.values(), ids=UNWELL)
@pytest.mark.parametrize("count", [FALSE_IN_A_ROW, CHUNK + FALSE_IN_A_ROW])
async def test_a_service_that_says_false_of_everything_and_is_not_well_is_not_believed(
    sides: Sides, count: int, effect: Effect
) -> None:
    await lose(sides, count)
    before = await sides.dump()
    sides.stand_in.inject(Fault(effect=effect, matches=Matches(route="health")))
    with pytest.raises(EndedEarly, match=r"not believed.*/health") as ended:
        await sides.run(batch_size=count)
    assert ended.value.report.found == 0
    assert await sides.dump() == before
    # It lost its flags, really. As soon as one of them is true, the others are repaired.
    await sides.settle("fresh")
    assert (await sides.run(batch_size=count + 1)).repaired == count


async def test_flags_that_become_true_while_the_service_is_asked_again_were_made_up(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = await lose(sides, FALSE_IN_A_ROW)
    before = await sides.dump()

    async def recovers() -> Health:
        sides.flip(*orders)
        return await sides.gateway.health()

    monkeypatch.setattr(sides, "health", recovers)
    with pytest.raises(EndedEarly, match="asked again"):
        await sides.run()
    assert await sides.dump() == before
    assert (await sides.run()).found == 0


async def test_flags_that_a_healthy_service_lost_are_repaired_and_told_in_one_message(
    sides: Sides,
) -> None:
    orders = await lose(sides, FALSE_IN_A_ROW)
    with capture_logs() as lines:
        assert (await sides.run()).repaired == len(orders)
    [lost] = [line for line in lines if line["event"] == "reconcile.flags_lost"]
    assert (lost["orders"], lost["health"]) == (len(orders), "database connected")
    await monitor(sides.database).run()
    facts = json.loads(
        await sides.outbox.connection.fetchval(
            "SELECT facts FROM stock_sync_changes WHERE kind = 'discrepancies'"
        )
    )
    assert (facts["found"], facts["repaired"]) == (len(orders), len(orders))
    await sides.push_all()
    assert all(sides.flag(order_id) for order_id in orders)


@pytest.mark.parametrize("most_doubted", [MOST_DOUBTED, CHUNK])
async def test_of_very_many_lost_flags_a_batch_is_repaired_until_these_are_true(
    sides: Sides, monkeypatch: pytest.MonkeyPatch, most_doubted: int
) -> None:
    monkeypatch.setattr("stocksync.reconcile.comparison.MOST_DOUBTED", most_doubted)
    count = CHUNK + 30
    await lose(sides, count)
    with pytest.raises(EndedEarly, match="lost its flags") as ended:
        await sides.reconcile(batch_size=10).sweep()
    report = ended.value.report
    assert (report.repaired, report.not_reached) == (10, count - 10)
    await sides.push_all()
    assert (await sides.reconcile(batch_size=10).sweep()).repaired == count - 10


async def test_a_report_counts_all_discrepancies_and_lists_the_first(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stocksync.reconcile.comparison.MOST_LISTED", 2)
    await lose(sides, 5)
    report = await sides.reconcile().sweep()
    assert (report.found, report.repaired, len(report.discrepancies)) == (5, 5, 2)


@pytest.mark.parametrize(
    "held",
    [
        "is_open = true, reason = 'refused'",
        "paused_until = now() + interval '1 h', paused_by = 'A'",
    ],
    ids=["circuit", "pause"],
)
async def test_while_the_service_is_away_or_all_is_paused_nothing_is_read(
    sides: Sides, held: str
) -> None:
    await sides.settle("order")
    await sides.mark_ambiguous("order")
    await sides.outbox.connection.execute(
        f"UPDATE stock_sync_circuits SET {held} WHERE token_id = ''"
    )
    with pytest.raises(EndedEarly, match=r"refused|paused by A"):
        await sides.run()
    with pytest.raises(ServiceUnavailable):
        await sides.reconcile().sweep()
    # It stays ambiguous; every twenty seconds an error would only be noise.
    assert (await sides.reconcile().verify()).not_reached == 1
    assert sides.reads == []


async def test_one_order_that_is_unreadable_by_itself_keeps_no_other_from_being_compared(
    sides: Sides,
) -> None:
    orders = [f"order-{n}" for n in range(CHUNK)]
    await sides.settle(*orders, "poison")
    sides.flip("order-8")
    sides.stand_in.inject(
        Fault(
            effect=Effect(status=500, content="Internal Server Error"),
            matches=Matches(route=FLAGS, order_id="poison"),
        )
    )
    report = await sides.run()
    assert (report.checked, report.repaired, report.skipped) == (CHUNK, 1, 1)
    await sides.push_all()
    # Also when it comes last and alone.
    report = await sides.reconcile().sweep()
    assert (report.checked, report.found, report.skipped) == (CHUNK, 0, 1)
    assert sides.reads[-2] == "poison"


async def test_an_account_that_the_service_does_not_know_any_more_holds_up_no_other(
    sides: Sides,
) -> None:
    await sides.settle(*[f"bad-{n}" for n in range(20)])
    await sides.settle(*[f"good-{n}" for n in range(20)], token_id=OTHER_TOKEN_ID)
    sides.flip("good-7", token_id=OTHER_TOKEN_ID)
    del sides.stand_in.microservice.accounts[TOKEN_ID]
    report = await sides.run()
    assert (report.checked, report.repaired, report.skipped) == (20, 1, 20)
    assert sum(order_id.startswith("bad") for order_id in sides.reads) <= 5


async def test_never_more_than_three_flags_are_read_at_once(sides: Sides) -> None:
    await sides.settle(*[f"order-{n}" for n in range(12)])
    await sides.mark_ambiguous(*[f"order-{n}" for n in range(6)])
    reading = most = 0

    class Counting:
        async def read_flag(self, *, token_id: str, order_id: str) -> bool:
            nonlocal reading, most
            reading += 1
            most = max(most, reading)
            flag = await sides.read_flag(token_id=token_id, order_id=order_id)
            reading -= 1
            return flag

        async def health(self) -> Health:
            return await sides.health()

    reconcile = sides.reconcile()
    reconcile._service = Counting()
    await asyncio.gather(reconcile.verify(), reconcile.sweep())
    assert most == 3


# --- which orders --------------------------------------------------------------------------------


async def test_the_command_looks_at_all_within_the_threshold_and_at_a_batch_of_older_ones(
    sides: Sides,
) -> None:
    young, old = [f"young-{n}" for n in range(20)], [f"old-{n}" for n in range(20)]
    await sides.settle(*young, *old)
    for order_id in old:
        await sides.pass_time(30, order_id)
    # Whatever was looked at before.
    await sides.run()
    sides.reads.clear()
    report = await sides.reconcile(batch_size=5).sweep()
    assert sorted(sides.reads[:20]) == sorted(young)
    assert len(set(sides.reads[20:])) == 5
    assert set(sides.reads[20:]) <= set(old)
    assert (report.checked, report.not_reached) == (25, 15)


async def test_the_command_walks_in_steps_and_reaches_each_order_once(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stocksync.reconcile.reconcile.WALK_ROWS", 7)
    orders = [f"order-{n}" for n in range(25)]
    await sides.settle(*orders)
    await sides.settle(*orders[:3], token_id=OTHER_TOKEN_ID)
    await sides.outbox.insert_units(20, "order-13", TOKEN_ID)
    await sides.push_all()
    report = await sides.reconcile().sweep()
    assert report.checked == 28
    assert sorted(sides.reads) == sorted(orders + orders[:3])
    sides.reads.clear()
    await sides.reconcile().sweep(token_id=OTHER_TOKEN_ID)
    assert sorted(sides.reads) == orders[:3]


async def test_completed_rows_are_found_by_their_own_times_whatever_the_log_says(
    sides: Sides,
) -> None:
    await sides.settle("order", "other")
    sides.flip("order")
    await sides.outbox.connection.execute("DELETE FROM stock_synchronization_logs")
    await sides.outbox.connection.execute(
        "UPDATE pending_stock_operations SET completed_at = now() - interval '30 h'"
        " WHERE order_id = 'order'"
    )
    [found] = (await sides.reconcile().sweep()).discrepancies
    assert found.act is Act.LEFT


async def test_an_order_is_looked_at_soon_and_then_ever_more_rarely(sides: Sides) -> None:
    await sides.settle("order")
    looked_at_hours = []
    for hour in range(70):
        since = await sides.outbox.connection.fetchval("SELECT now() - interval '1 h'")
        sides.reads.clear()
        await sides.run(since=since)
        if sides.reads:
            looked_at_hours.append(hour)
        await sides.pass_time(1)
    assert looked_at_hours == [0, 1, 4, 16, 64]


async def test_an_order_repaired_is_looked_at_again_by_the_next_run(sides: Sides) -> None:
    await sides.settle("order")
    await sides.pass_time(0.5)
    sides.flip("order")
    assert (await sides.reconcile().sweep()).repaired == 1
    await sides.push_all()
    sides.flip("order")
    since = await sides.outbox.connection.fetchval("SELECT now() - interval '10 s'")
    assert (await sides.run(since=since)).repaired == 1


async def test_a_run_reads_no_more_than_its_batch_and_counts_what_it_left_out(
    sides: Sides,
) -> None:
    young, older = [f"young-{n}" for n in range(20)], [f"older-{n}" for n in range(20)]
    await sides.settle(*older)
    await sides.pass_time(1.2)
    await sides.settle(*young, "ambiguous")
    await sides.mark_ambiguous("ambiguous")
    since = await sides.outbox.connection.fetchval("SELECT now() - interval '30 min'")
    report = await sides.run(batch_size=10, since=since)
    assert sides.reads[0] == "ambiguous"
    # It may be drawn once more, with the young ones.
    assert 9 <= report.checked <= 10
    # The young most, the others not starved.
    assert sum(order_id.startswith("young") for order_id in sides.reads) >= 6
    assert sum(order_id.startswith("older") for order_id in sides.reads) == 2
    assert report.not_reached == 21 + 20 - 9


@pytest.mark.parametrize(
    ("token_id", "looked_at"), [(TOKEN_ID, ["also", "mine"]), (None, ["also", "mine", "other"])]
)
async def test_asked_for_it_looks_at_once_whatever_was_looked_at_before(
    sides: Sides, token_id: str | None, looked_at: list[str]
) -> None:
    await sides.settle("mine", "also")
    await sides.settle("other", token_id=OTHER_TOKEN_ID)
    await sides.pass_time(0.5)
    sides.flip("mine")
    now = await sides.outbox.connection.fetchval("SELECT clock_timestamp()")
    await sides.reconcile().run(
        succeeded_at=now - timedelta(minutes=5),
        started_at=now,
        is_asked=True,
        asked_by="somebody",
        token_id=token_id,
    )
    assert sorted(sides.reads) == looked_at
    [entry] = await sides.entries("reconciled")
    assert json.loads(entry)["by"] == "somebody"


@given(
    room=st.integers(0, 10_000),
    wanted=st.lists(st.integers(0, 10_000), min_size=1, max_size=6),
)
def test_a_batch_is_shared_out_wholly_and_the_young_get_most(room: int, wanted: list[int]) -> None:
    given_ = shares(room, wanted)
    assert all(0 <= share <= want for share, want in zip(given_, wanted, strict=True))
    assert sum(given_) == min(room, sum(wanted))
    # Whoever gets less than it wants gets no less than those after it.
    for n, share in enumerate(given_):
        if share < wanted[n]:
            assert all(share >= later for later in given_[n + 1 :]) or share >= room // 2 ** (n + 1)
    # Nobody is starved by those before it.
    for n, share in enumerate(given_):
        assert share >= min(wanted[n], room // 2 ** (n + 1))


@given(minutes=st.integers(1, 10_000))
def test_windows_of_runs_one_after_the_other_leave_no_gap(minutes: int) -> None:
    first = datetime(2030, 1, 1, tzinfo=UTC)
    second = first + timedelta(minutes=minutes)
    third = second + timedelta(minutes=7)
    for before, after in zip(windows(first, second), windows(second, third), strict=True):
        assert after[0] <= before[1] < after[1]


# --- ambiguous orders ----------------------------------------------------------------------------


async def test_a_late_application_after_a_newer_value_ends_repaired(sides: Sides) -> None:
    row_id = await sides.outbox.insert("order", TOKEN_ID)
    async with running_relay(sides.dsn, sides.stand_in, is_listening=False, timeout_seconds=0.5):
        # The first call hangs past its deadline; it is applied when the fault is lifted.
        late = Fault(effect=Effect(hang_seconds=60), matches=Matches(route="stock_status"), first=1)
        sides.stand_in.inject(late)

        async def was_tried() -> bool:
            return bool((await sides.outbox.row(row_id))["attempts"])

        await until_async(was_tried)
        await sides.outbox.insert("order", TOKEN_ID, operation_type="refund")
        await sides.outbox.make_due()

        async def is_completed() -> bool:
            return set(await sides.outbox.statuses()) == {"completed"}

        await until_async(is_completed)
        assert sides.flag() is False
        sides.stand_in.lift(late)
        await sides.stand_in.until(sides.flag)
        # Not before a minute has passed.
        assert (await sides.reconcile().verify()).checked == 0
        await sides.outbox.connection.execute(
            "UPDATE stock_sync_orders SET ambiguous_at = ambiguous_at - interval '1 minute'"
        )
        assert (await sides.reconcile().verify()).repaired == 1
        await sides.stand_in.until(lambda: not sides.flag())

    found = await sides.outbox.order("order", TOKEN_ID)
    assert found is None or found["ambiguous_at"] is None


async def test_what_was_verified_is_ambiguous_no_more(sides: Sides) -> None:
    await sides.settle("order", "carried", "repaired")
    await sides.mark_ambiguous("order", "carried", "repaired")
    await sides.outbox.connection.execute(
        "UPDATE stock_sync_orders SET balance = 3 WHERE order_id = 'carried'"
    )
    await sides.outbox.connection.execute(
        "UPDATE stock_sync_orders SET repairs = 2, repaired_at = now() WHERE order_id = 'repaired'"
    )
    report = await sides.reconcile().verify()
    assert (report.checked, report.found) == (3, 0)
    assert await sides.outbox.order("order", TOKEN_ID) is None
    repaired = await sides.outbox.order("repaired", TOKEN_ID)
    assert repaired
    assert (repaired["ambiguous_at"], repaired["repairs"]) == (None, 2)
    carried = await sides.outbox.order("carried", TOKEN_ID)
    assert carried
    assert (carried["ambiguous_at"], carried["balance"]) == (None, 3)


async def test_an_ambiguous_order_is_repaired_however_long_ago_its_rows_completed(
    sides: Sides,
) -> None:
    await sides.settle("order")
    await sides.pass_time(100)
    await sides.mark_ambiguous("order")
    sides.flip("order")
    assert (await sides.reconcile().verify()).repaired == 1
    await sides.push_all()
    assert sides.flag()


async def test_an_order_that_became_ambiguous_again_meanwhile_stays_so(sides: Sides) -> None:
    await sides.settle("order")
    await sides.mark_ambiguous("order")

    async def again(_: str) -> None:
        await sides.mark_ambiguous("order", seconds_ago=0)

    sides.before_answer = again
    assert (await sides.reconcile().verify()).skipped == 1
    order = await sides.outbox.order("order", TOKEN_ID)
    assert order
    assert order["ambiguous_at"] is not None


async def test_what_keeps_an_order_from_being_verified_does_not_lose_it(sides: Sides) -> None:
    await sides.settle("order", "away")
    await sides.mark_ambiguous("order", "away")
    pending = await sides.outbox.insert(
        "order",
        TOKEN_ID,
        next_retry_at=await sides.outbox.connection.fetchval("SELECT now() + interval '1 h'"),
    )
    await sides.stand_in.stop_listening()
    with pytest.raises(EndedEarly):
        await sides.reconcile().verify()
    await sides.stand_in.listen()
    assert (await sides.reconcile().verify()).checked == 1
    assert await sides.outbox.order("away", TOKEN_ID) is None
    assert await sides.outbox.order("order", TOKEN_ID)
    await Operations(database=sides.database).retry([pending], by="somebody")
    await sides.push_all()
    assert (await sides.reconcile().verify()).checked == 1
    assert await sides.outbox.order("order", TOKEN_ID) is None


async def test_a_thousand_orders_ambiguous_at_once_are_verified_within_two_turns(
    sides: Sides,
) -> None:
    count = 2 * VERIFY_LIMIT
    await sides.outbox.insert_orders(count, token_id=TOKEN_ID)
    await sides.push_all()
    await sides.mark_ambiguous(*[f"order-{n}" for n in range(1, count + 1)])
    sides.flip("order-7")
    reports = [await sides.reconcile().verify() for _ in range(2)]
    assert [report.checked for report in reports] == [VERIFY_LIMIT] * 2
    assert sum(report.repaired for report in reports) == 1
    left = await sides.outbox.connection.fetchval(
        "SELECT count(*) FROM stock_sync_orders WHERE ambiguous_at IS NOT NULL"
    )
    assert left == 0


# --- with real daemons ---------------------------------------------------------------------------


async def make_due(sides: Sides, timer: str) -> None:
    """Move time instead of waiting: it is the timer's turn."""

    async def is_there() -> bool:
        done = await sides.outbox.connection.execute(
            "UPDATE stock_sync_timers SET due_at = now() WHERE name = $1", timer
        )
        return bool(done == "UPDATE 1")

    await until_async(is_there)


async def test_a_daemon_repairs_a_flipped_flag_at_its_timers_next_turn(sides: Sides) -> None:
    with running_daemon(sides.dsn, sides.stand_in.url) as daemon:
        await daemon.until_logged("daemon.started")
        await sides.outbox.insert("order", TOKEN_ID)
        await until_all(sides.outbox, "completed")
        sides.flip("order")
        await make_due(sides, "reconcile")
        await sides.stand_in.until(sides.flag)
        told = await daemon.until_logged("reconcile.found")
        assert (told["found"], told["repaired"]) == (1, 1)


async def test_what_a_killed_daemon_left_in_the_air_is_repaired_by_another(sides: Sides) -> None:
    row_id = await sides.outbox.insert("order", TOKEN_ID)
    late = Fault(effect=Effect(hang_seconds=600), matches=Matches(route="stock_status"), first=1)
    sides.stand_in.inject(late)
    with running_daemon(sides.dsn, sides.stand_in.url, RECONCILIATION_ENABLED="false"):
        await sides.stand_in.until(lambda: bool(sides.stand_in.record.received))
    # It was killed. Its call is applied after the refund that its successor pushes.
    await sides.outbox.expire_leases()
    await sides.outbox.insert("order", TOKEN_ID, operation_type="refund")
    with running_daemon(sides.dsn, sides.stand_in.url, RECONCILIATION_ENABLED="false"):
        await until_all(sides.outbox, "completed")
        assert "lease_expired" in await sides.outbox.actions(row_id)
        sides.stand_in.lift(late)
        await sides.stand_in.until(sides.flag)
        await sides.outbox.connection.execute(
            "UPDATE stock_sync_orders SET ambiguous_at = ambiguous_at - interval '1 minute'"
        )
        await make_due(sides, "verify")
        await sides.stand_in.until(lambda: not sides.flag())


# --- what it costs -------------------------------------------------------------------------------

STATISTICS = {
    "none": "SELECT 1",
    "of the filled tables": "ANALYZE pending_stock_operations, stock_synchronization_logs",
    # What ANALYZE notes when it runs in the middle of a bulk load: many pages, no rows.
    "of a bulk load": "UPDATE pg_class SET reltuples = 0, relpages = pg_relation_size(oid) / 8192"
    " WHERE relname ~ '^(pending_stock_operations|stock_synchronization_logs)'",
}
STATEMENTS = {
    "half an hour's orders": "SELECT * FROM stock_sync_settled("
    "now() - interval '90 min', now() - interval '1 h', 20)",
    "a sample of a week's": "SELECT * FROM stock_sync_settled("
    "now() - interval '7 days', now() - interval '1 h', 5)",
    "a look": f"SELECT * FROM stock_sync_look(array_fill('{TOKEN_ID}'::text, '{{20}}'),"
    " ARRAY(SELECT 'order-' || n FROM generate_series(1, 20) n), 24)",
    "a step": "SELECT * FROM stock_sync_walk('order-1', NULL, 24, 10, 50)",
    "a verification": "SELECT * FROM stock_sync_to_verify(10)",
}


@pytest.mark.parametrize("statistics", STATISTICS.values(), ids=STATISTICS)
async def test_each_of_its_questions_costs_the_same_with_ten_times_as_many_orders(
    sides: Sides, statistics: str
) -> None:
    run = sides.outbox.connection.execute
    await run("ALTER TABLE pending_stock_operations SET (autovacuum_enabled = off)")
    await run("ALTER TABLE stock_synchronization_logs SET (autovacuum_enabled = off)")
    touched: dict[int, dict[str, int]] = {}
    for orders in (1000, 10_000):
        await run("TRUNCATE pending_stock_operations, stock_synchronization_logs")
        await sides.outbox.insert_orders(orders, token_id=TOKEN_ID)
        # One a minute, up to now.
        await run(
            "UPDATE pending_stock_operations SET status = 'completed',"
            " completed_at = now() - (SELECT max(seq) FROM pending_stock_operations) * interval"
            " '1 min' + seq * interval '1 min'"
        )
        await run(
            "INSERT INTO stock_synchronization_logs (operation_id, action, status, timestamp)"
            " SELECT id, 'completed', 'completed', completed_at"
            " FROM pending_stock_operations ORDER BY seq"
        )
        await sides.mark_ambiguous(*[f"order-{n}" for n in range(1, 21)])
        await run(statistics)
        touched[orders] = {}
        for name, statement in STATEMENTS.items():
            # Once for the catalogue and the session's plans.
            await pages(sides.outbox, statement)
            touched[orders][name] = await pages(sides.outbox, statement)
    for name in STATEMENTS:
        # The search for a time goes one step deeper for each doubling.
        assert touched[10_000][name] <= 1.5 * touched[1000][name] + 30, (name, touched)
