"""HTTP: what is asked is answered as documented, to who may ask, and costs a push nothing."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from jsonschema import Draft202012Validator

from stocksync.database import Database
from stocksync.delivery import Names
from stocksync.model import DatabaseUnavailable, SettingsError
from stocksync.operations import Operations, Page
from stocksync.store import Store
from stocksync.timers import Timers
from stocksync.verdict import Limits, Standing
from stocksync.web import Web, accounts, connections, desk, page, probes, questions
from stocksync.web.access import Need
from stocksync.web.answers import Answer, Refusal
from stocksync.web.desk import Desk
from stocksync.web.request import Request
from stocksync.web.table import BASE
from tests.asking import TOKEN, Asker, Service, asking, metrics
from tests.outbox import ACCOUNT, OTHER_ACCOUNT, Outbox
from tests.relaying import PATIENCE_SECONDS, until
from tests.settling import DONE, REFUSED, claim, settle


@pytest.fixture
async def asker(database: Database) -> AsyncIterator[Asker]:
    async with asking(database) as asker:
        yield asker


@pytest.fixture
async def living_daemon(outbox: Outbox) -> None:
    await outbox.connection.execute(
        "INSERT INTO stock_sync_daemons (id, host, pid, version, is_listening)"
        " VALUES (gen_random_uuid(), 'host', 7, '1.2.3', true)"
    )


async def reconciling(outbox: Outbox) -> None:
    await outbox.connection.execute(
        "INSERT INTO stock_sync_timers (name, interval_seconds, due_at)"
        " VALUES ('reconcile', 1800, now() + interval '1 hour')"
    )


# --- health --------------------------------------------------------------------------------------


async def test_it_lives_whatever_the_database_does(asker: Asker, database: Database) -> None:
    await database.__aexit__()
    assert (await asker.get("/healthz")).document["status"] == "alive"


async def test_it_is_ready_when_all_is_well(asker: Asker) -> None:
    ready = await asker.get("/readyz")
    assert (ready.status, ready.document["verdict"]) == (200, "OK")


async def test_an_outage_of_the_service_is_no_reason_to_restart(
    asker: Asker, outbox: Outbox
) -> None:
    await outbox.connection.execute(
        "UPDATE stock_sync_circuits SET is_open = true, reason = 'refused', opened_at = now()"
    )
    ready = await asker.get("/readyz")
    assert (ready.status, ready.document["verdict"]) == (200, "DEGRADED")
    assert "refused" in ready.document["reasons"][0]


async def test_it_is_not_ready_when_it_is_stalled_and_says_why(
    asker: Asker, outbox: Outbox
) -> None:
    await outbox.insert()
    ready = await asker.get("/readyz")
    assert (ready.status, ready.document["verdict"]) == (503, "STALLED")
    assert "no daemon is running" in ready.document["reasons"][0]


async def test_it_is_not_ready_before_the_first_round_and_while_it_stops(asker: Asker) -> None:
    asker.daemon.why_not_ready = "it is stopping"
    ready = await asker.get("/readyz")
    assert ready.status == 503
    assert ready.document == {"is_ready": False, "verdict": None, "reasons": ["it is stopping"]}


async def test_without_its_database_it_is_not_ready_and_answers_503(
    asker: Asker, database: Database
) -> None:
    await database.__aexit__()
    assert (await asker.get("/readyz")).status == 503
    for path in ("status", "pending", f"operations/{uuid4()}", "errors", "history"):
        answered = await asker.get(path)
        assert answered.status == 503
        assert "database" in answered.detail
    assert (await asker.act("POST", f"retry/{uuid4()}")).status == 503


# --- reading -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("living_daemon")
async def test_the_status_is_in_three_words_and_many_numbers(
    asker: Asker, outbox: Outbox, store: Store
) -> None:
    await outbox.insert("refused")
    await settle(store, await claim(store), REFUSED)
    await outbox.insert("waits")
    document = (await asker.get("status")).document
    assert (document["status"], document["verdict"]) == ("healthy", "OK")
    assert document["statistics"]["pending_operations"] == 1
    assert document["statistics"]["failed_operations"] == 1
    assert document["statistics"]["completed_today"] == 0
    assert document["statistics"]["stale_operations"] == 0
    assert document["daemons"][0]["name"] == "host:7"
    age = datetime.now(UTC) - datetime.fromisoformat(document["last_updated"])
    assert abs(age) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ("UPDATE stock_sync_circuits SET is_open = true, opened_at = now()", "warning"),
        (
            (
                "INSERT INTO pending_stock_operations (token_id, order_id, sku, quantity)"
                f" VALUES ('{ACCOUNT}', 'o', 's', 1)"
            ),
            "critical",
        ),
    ],
)
async def test_what_is_not_well_is_a_warning_or_critical(
    asker: Asker, outbox: Outbox, change: str, word: str
) -> None:
    await outbox.connection.execute(change)
    assert (await asker.get("status")).document["status"] == word


async def test_a_timer_and_its_last_result_are_shown(asker: Asker, outbox: Outbox) -> None:
    await reconciling(outbox)
    await outbox.connection.execute("""UPDATE stock_sync_timers SET result = '{"found": 3}'""")
    [timer] = (await asker.get("status")).document["timers"]
    assert (timer["name"], timer["result"]) == ("reconcile", {"found": 3})


async def test_many_parked_accounts_are_counted_and_the_first_of_them_shown(
    asker: Asker, outbox: Outbox
) -> None:
    await outbox.connection.execute(
        "INSERT INTO stock_sync_circuits (token_id, is_open, opened_at)"
        " SELECT 'account ' || n, true, now() FROM generate_series(1, 150) n"
    )
    document = (await asker.get("status")).document
    assert (len(document["circuits"]), document["circuits_total"]) == (100, 150)


async def test_operations_are_listed_newest_first_by_page(asker: Asker, outbox: Outbox) -> None:
    await outbox.insert_orders(7)
    first = (await asker.get("pending")).document
    assert (first["total"], first["limit"], first["offset"]) == (7, 50, 0)
    second = (await asker.get("pending?limit=2&offset=3")).document
    assert second["operations"] == first["operations"][3:5]
    assert (second["total"], second["limit"], second["offset"]) == (7, 2, 3)
    times = [each["created_at"] for each in first["operations"]]
    assert times == sorted(times, reverse=True)


async def test_without_a_status_all_are_listed_and_with_one_only_these(
    asker: Asker, outbox: Outbox, store: Store
) -> None:
    await outbox.insert("one")
    await settle(store, await claim(store), DONE)
    await outbox.insert("two", token_id=OTHER_ACCOUNT)
    assert (await asker.get("pending")).document["total"] == 2
    for query in (
        "status=completed",
        "order_id=one",
        f"token_id={ACCOUNT}",
        f"token_id={ACCOUNT.upper()}",
        f"status=completed&order_id=one&token_id={ACCOUNT}",
    ):
        [found] = (await asker.get(f"pending?{query}")).document["operations"]
        assert (found["order_id"], found["status"]) == ("one", "completed")
    assert (await asker.get("pending?status=failed")).document["total"] == 0


async def test_an_order_id_may_have_any_letters(asker: Asker, outbox: Outbox) -> None:
    await outbox.insert("Заказ №1 + 50% ? # & =")
    encoded = "%D0%97%D0%B0%D0%BA%D0%B0%D0%B7%20%E2%84%961%20%2B%2050%25%20%3F%20%23%20%26%20%3D"
    assert (await asker.get(f"pending?order_id={encoded}")).document["total"] == 1
    [order] = (await asker.get(f"orders/{encoded}")).document["orders"]
    assert order["order_id"] == "Заказ №1 + 50% ? # & ="


async def test_an_operation_is_shown_with_its_history(
    asker: Asker, outbox: Outbox, store: Store
) -> None:
    row_id = await outbox.insert()
    await settle(store, await claim(store), REFUSED)
    document = (await asker.get(f"operations/{row_id}")).document
    assert (document["id"], document["status"]) == (str(row_id), "failed")
    assert document["error_message"] == REFUSED.reason
    assert [entry["action"] for entry in document["history"]] == ["created", "failed"]
    assert document["history"][1]["details"]["http_status"] == REFUSED.http_status


async def test_an_order_is_shown_whole_for_each_account_that_knows_it(
    asker: Asker, outbox: Outbox, store: Store
) -> None:
    await outbox.insert("order", quantity=3)
    await settle(store, await claim(store), DONE)
    await outbox.insert("order", operation_type="refund", quantity=1)
    await outbox.insert("order", token_id=OTHER_ACCOUNT)
    one, other = (await asker.get("orders/order")).document["orders"]
    assert (one["token_id"], one["balance"], one["wanted_flag"]) == (ACCOUNT, 2, True)
    assert (one["waits_for"], one["operations_total"]) == ("due", 2)
    deduction, refund = one["operations"]
    assert [entry["action"] for entry in deduction["history"]] == ["created", "completed"]
    assert [entry["action"] for entry in refund["history"]] == ["created"]
    assert other["token_id"] == OTHER_ACCOUNT
    [only] = (await asker.get(f"orders/order?token_id={OTHER_ACCOUNT}")).document["orders"]
    assert only["token_id"] == OTHER_ACCOUNT


async def test_an_order_says_what_holds_it_up_and_what_reconciling_found(
    asker: Asker, outbox: Outbox
) -> None:
    row_id = await outbox.insert()
    await outbox.connection.execute(
        "INSERT INTO stock_sync_circuits (token_id, is_open, reason, opened_at, probe_at)"
        " VALUES ($1, true, '404', now(), now())",
        ACCOUNT,
    )
    await outbox.connection.execute(
        "INSERT INTO stock_synchronization_logs (operation_id, action, status, details)"
        """ VALUES ($1, 'reconciled', 'pending', '{"wanted": true, "found": false}')""",
        row_id,
    )
    [order] = (await asker.get("orders/order")).document["orders"]
    assert (order["waits_for"], order["circuits"][0]["token_id"]) == ("account", ACCOUNT)
    assert (order["reconciled"]["wanted"], order["reconciled"]["found"]) == (True, False)


async def test_an_order_that_failed_for_good_waits_for_a_person(
    asker: Asker, outbox: Outbox, store: Store
) -> None:
    await outbox.insert("order")
    await settle(store, await claim(store), REFUSED)
    [order] = (await asker.get("orders/order")).document["orders"]
    assert (order["waits_for"], order["waits_until"]) == ("person", None)


async def test_of_an_order_of_very_many_rows_the_newest_are_shown(
    asker: Asker, outbox: Outbox
) -> None:
    await outbox.insert_units(250)
    newest = await outbox.insert()
    [order] = (await asker.get("orders/order")).document["orders"]
    assert (order["operations_total"], order["balance"]) == (251, 251)
    assert len(order["operations"]) == 200
    assert order["operations"][-1]["id"] == str(newest)


async def test_no_account_takes_the_place_of_another_one_that_has_fewer_and_older_rows(
    asker: Asker, outbox: Outbox, store: Store
) -> None:
    await outbox.insert_units(3)
    await settle(store, await claim(store), REFUSED)
    await outbox.insert_units(250, token_id=OTHER_ACCOUNT)
    few, many = (await asker.get("orders/order")).document["orders"]
    assert (few["token_id"], few["operations_total"], len(few["operations"])) == (ACCOUNT, 3, 3)
    assert (many["operations_total"], len(many["operations"])) == (250, 200)


async def test_of_an_order_of_very_many_accounts_each_one_has_its_share(
    asker: Asker, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "MOST_ROWS_IN_ALL", 5)
    for token_id in (ACCOUNT, OTHER_ACCOUNT):
        await outbox.insert_units(10, token_id=token_id)
    orders = (await asker.get("orders/order")).document["orders"]
    assert {len(order["operations"]) for order in orders} == {2, 3}
    assert {order["operations_total"] for order in orders} == {10}
    monkeypatch.setattr(questions, "MOST_ROWS_IN_ALL", 1)
    orders = (await asker.get("orders/order")).document["orders"]
    # What is not shown is counted all the same.
    assert sorted(len(order["operations"]) for order in orders) == [0, 1]
    assert {order["operations_total"] for order in orders} == {10}


async def test_no_operation_takes_the_place_of_another_ones_history(
    asker: Asker, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "MOST_ENTRIES", 10)
    for row_id, entries in ((await outbox.insert(), 2), (await outbox.insert(), 20)):
        await outbox.connection.execute(
            "INSERT INTO stock_synchronization_logs (operation_id, action, status)"
            " SELECT $1, 'retry', 'pending' FROM generate_series(1, $2)",
            row_id,
            entries,
        )
    [order] = (await asker.get("orders/order")).document["orders"]
    histories = [operation["history"] for operation in order["operations"]]
    assert [len(history) for history in histories] == [3, 9]
    ids = [entry["id"] for entry in histories[1][1:]]
    assert ids == list(range(15, 23))


async def test_an_order_that_only_a_carried_balance_knows_is_shown(
    asker: Asker, outbox: Outbox
) -> None:
    await outbox.connection.execute(
        "INSERT INTO stock_sync_orders (order_id, token_id, balance) VALUES ('old', $1, 2)", ACCOUNT
    )
    [order] = (await asker.get("orders/old")).document["orders"]
    assert (order["balance"], order["carried_balance"], order["operations"]) == (2, 2, [])


async def test_failed_operations_are_grouped_by_account_and_error(
    asker: Asker, outbox: Outbox, store: Store
) -> None:
    for token_id, orders in ((ACCOUNT, 3), (OTHER_ACCOUNT, 1)):
        await outbox.insert_orders(orders, token_id=token_id)
    await settle(store, await claim(store), REFUSED)
    document = (await asker.get("errors")).document
    assert (document["looked_at"], document["is_sample"]) == (4, False)
    many, one = document["errors"]
    assert (many["token_id"], many["error"]) == (ACCOUNT, REFUSED.reason)
    assert (many["row_count"], many["order_count"], len(many["examples"])) == (3, 3, 3)
    assert (one["token_id"], one["row_count"]) == (OTHER_ACCOUNT, 1)


async def test_what_was_done_is_told_in_equal_steps_without_a_gap(
    asker: Asker, outbox: Outbox
) -> None:
    await outbox.connection.execute(
        "INSERT INTO stock_sync_minutes (minute, attempts, orders_pushed, rows_completed, push_ms,"
        " slowest_push_ms, due_rows) SELECT date_trunc('minute', now()) - n * interval '1 minute',"
        " 2, 1, 3, 20, 15, n FROM generate_series(0, 59) n"
    )
    document = (await asker.get("history?hours=12")).document
    times = [datetime.fromisoformat(point["at"]) for point in document["points"]]
    assert document["bucket_minutes"] == 3
    steps = {b - a for a, b in pairwise(times)}
    assert steps == {timedelta(minutes=3)}
    assert times[-1] <= datetime.now(UTC) + timedelta(seconds=5)
    assert 240 <= len(times) <= 242
    assert sum(point["rows_completed"] for point in document["points"]) == 180
    assert max(point["due_rows"] or 0 for point in document["points"]) == 59
    busy = next(point for point in document["points"] if point["attempts"] == 6)
    assert (busy["mean_push_ms"], busy["slowest_push_ms"]) == (10, 15)
    assert document["points"][0]["due_rows"] is None


@pytest.mark.parametrize(("hours", "minutes"), [(1, 1), (4, 1), (5, 2), (24, 6), (840, 210)])
async def test_a_chart_never_has_more_points_than_it_can_show(
    asker: Asker, hours: int, minutes: int
) -> None:
    document = (await asker.get(f"history?hours={hours}")).document
    assert document["bucket_minutes"] == minutes
    assert len(document["points"]) <= 242


# --- the names of accounts -----------------------------------------------------------------------


async def park(outbox: Outbox, token_id: str) -> None:
    await outbox.connection.execute(
        "INSERT INTO stock_sync_circuits (token_id, is_open, opened_at) VALUES ($1, true, now())",
        token_id,
    )


async def test_an_account_is_told_by_its_name_wherever_its_token_stands(
    asker: Asker, outbox: Outbox, store: Store
) -> None:
    asker.service.names = {ACCOUNT: "Lamps & Co"}
    await asker.get("/readyz")
    row_id = await outbox.insert("order")
    await settle(store, await claim(store), REFUSED)
    await outbox.insert("nameless", token_id=OTHER_ACCOUNT)
    for token_id in (ACCOUNT, OTHER_ACCOUNT):
        await park(outbox, token_id)
    asker.web._glance.forget()
    seen = {
        (each["token_id"], each["account_name"])
        for each in (await asker.get("status")).document["circuits"]
    }
    assert seen >= {(ACCOUNT, "Lamps & Co"), (OTHER_ACCOUNT, None)}
    nameless, named = (await asker.get("pending")).document["operations"]
    assert (nameless["account_name"], named["account_name"]) == (None, "Lamps & Co")
    assert (await asker.get(f"operations/{row_id}")).document["account_name"] == "Lamps & Co"
    [group] = (await asker.get("errors")).document["errors"]
    assert group["account_name"] == "Lamps & Co"
    [order] = (await asker.get("orders/order")).document["orders"]
    own = [each for each in order["circuits"] if each["token_id"]]
    told = [each["account_name"] for each in (order, *order["operations"], *own)]
    assert told == 3 * ["Lamps & Co"]


async def test_the_services_own_circuit_has_no_accounts_name(asker: Asker, outbox: Outbox) -> None:
    asker.service.names = {"": "nobody", ACCOUNT: "Lamps & Co"}
    await asker.get("/readyz")
    await outbox.connection.execute(
        "UPDATE stock_sync_circuits SET is_open = true, opened_at = now()"
    )
    asker.web._glance.forget()
    [circuit] = (await asker.get("status")).document["circuits"]
    assert (circuit["token_id"], circuit["account_name"]) == (None, None)


async def test_no_answer_waits_for_names(asker: Asker, outbox: Outbox) -> None:
    asker.service.names = {ACCOUNT: "Lamps & Co"}
    asker.service.answers.clear()
    await outbox.insert("order")
    for path in ("status", "pending", "orders/order"):
        assert (await asker.get(path)).status == 200
    assert asker.service.asked == 1
    [row] = (await asker.get("pending")).document["operations"]
    assert row["account_name"] is None
    asker.service.answers.set()
    await until(lambda: asker.web._accounts.name(ACCOUNT) == "Lamps & Co")


async def test_names_are_asked_for_every_ten_minutes_at_most_whatever_came_of_it(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in 3 * ("/readyz", "/metrics", "status", "pending", "errors"):
        assert (await asker.get(path)).status == 200
    assert asker.service.asked == 1
    learn_at = asker.web._accounts._learn_at
    assert 590 < learn_at - asyncio.get_running_loop().time() <= accounts.LEARN_SECONDS == 600
    monkeypatch.setattr(asker.web._accounts, "_learn_at", 0.0)
    await asker.get("errors")
    assert asker.service.asked == 2


async def test_names_stay_known_while_the_service_is_away(asker: Asker, outbox: Outbox) -> None:
    await outbox.insert("order")
    for names in ({ACCOUNT: "Lamps & Co"}, {}):
        asker.service.names = names
        asker.web._accounts._learn_at = 0.0
        await asker.get("pending")
    [row] = (await asker.get("pending")).document["operations"]
    assert (asker.service.asked, row["account_name"]) == (2, "Lamps & Co")


async def test_whoever_only_asks_whether_it_lives_asks_nobody_for_names(asker: Asker) -> None:
    for path in ("/healthz", "/", "/openapi.json"):
        await asker.get(path)
    assert asker.service.asked == 0


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Lamps\n\u202e\u0000 & Co ", "Lamps & Co"),
        ("x" * 60_000, "x" * 99 + "…"),
        ("\u200b \n", None),
    ],
    ids=["controls", "kilobytes", "nothing to see"],
)
async def test_a_name_is_one_short_line(
    asker: Asker, outbox: Outbox, name: str, told: str | None
) -> None:
    asker.service.names = {ACCOUNT: name}
    await asker.get("/readyz")
    await outbox.insert("order")
    [row] = (await asker.get("pending")).document["operations"]
    assert row["account_name"] == told


async def test_it_closes_at_once_while_it_asks_for_names(database: Database) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS), asking(database) as asker:
        asker.service.answers.clear()
        await asker.get("/readyz")
        learning = asker.web._accounts._learning
        assert learning is not None
        await asker.web.close()
        assert learning.cancelled()


# --- acting --------------------------------------------------------------------------------------


async def test_a_failed_operation_is_tried_again_by_hand(
    asker: Asker, outbox: Outbox, store: Store
) -> None:
    row_id = await outbox.insert()
    await settle(store, await claim(store), REFUSED)
    answered = await asker.act("POST", f"retry/{row_id}")
    assert (answered.status, answered.document["operation_id"]) == (200, str(row_id))
    row = await outbox.row(row_id)
    assert (row["status"], row["retry_count"]) == ("pending", 0)
    assert asker.daemon.wakes == 1
    history = (await asker.get(f"operations/{row_id}")).document["history"]
    assert history[-1]["details"] == {"by": "http:127.0.0.1"}


async def test_an_operation_is_cancelled_by_hand_and_says_why(asker: Asker, outbox: Outbox) -> None:
    row_id = await outbox.insert()
    answered = await asker.act("DELETE", f"cancel/{row_id}?reason=entered%20twice")
    assert (answered.status, answered.document["operation_id"]) == (200, str(row_id))
    history = (await asker.get(f"operations/{row_id}")).document["history"]
    assert history[-1]["details"] == {"by": "http:127.0.0.1", "reason": "entered twice"}


async def test_the_status_after_an_act_is_not_that_of_before(asker: Asker, outbox: Outbox) -> None:
    row_id = await outbox.insert()
    before = (await asker.get("status")).document["statistics"]
    await asker.act("DELETE", f"cancel/{row_id}")
    after = (await asker.get("status")).document["statistics"]
    assert (before["pending_operations"], after["pending_operations"]) == (1, 0)


@pytest.mark.parametrize(("method", "verb"), [("POST", "retry"), ("DELETE", "cancel")])
async def test_what_is_completed_can_be_neither_retried_nor_cancelled(
    asker: Asker, outbox: Outbox, store: Store, method: str, verb: str
) -> None:
    row_id = await outbox.insert()
    await settle(store, await claim(store), DONE)
    answered = await asker.act(method, f"{verb}/{row_id}")
    assert answered.status == 400
    assert "is completed" in answered.detail


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "operations"), ("POST", "retry"), ("DELETE", "cancel")]
)
async def test_an_unknown_id_is_404(asker: Asker, method: str, path: str) -> None:
    unknown = uuid4()
    answered = await asker.act(method, f"{path}/{unknown}")
    assert (answered.status, str(unknown) in answered.detail) == (404, True)


async def test_an_unknown_order_is_404(asker: Asker) -> None:
    assert (await asker.get("orders/nobody")).status == 404


async def test_reconciling_is_queued_for_the_loop(asker: Asker, outbox: Outbox) -> None:
    await reconciling(outbox)
    for path in ("reconcile", f"reconcile?token_id={ACCOUNT}"):
        answered = await asker.act("POST", path)
        assert (answered.status, answered.document) == (202, {"status": "queued"})
    asked = json.loads(await outbox.connection.fetchval("SELECT asked FROM stock_sync_timers"))
    assert asked == [
        {"by": "http:127.0.0.1", "of": {}},
        {"by": "http:127.0.0.1", "of": {"token_id": ACCOUNT}},
    ]


async def test_reconciling_that_is_switched_off_is_not_possible(asker: Asker) -> None:
    answered = await asker.act("POST", "reconcile")
    assert (answered.status, "RECONCILIATION_ENABLED" in answered.detail) == (400, True)


# --- parameters ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("pending?limit=0", "limit: must be a whole number from 1 to 200"),
        ("pending?limit=201", "limit: must be a whole number from 1 to 200"),
        ("pending?limit=", "limit: must be"),
        ("pending?limit=ten", "limit: must be"),
        ("pending?limit=1.5", "limit: must be"),
        ("pending?limit=%D9%A3", "limit: must be"),
        (f"pending?limit={'9' * 4000}", "limit: must be"),
        (f"pending?limit={'0' * 19}1999", "limit: must be"),
        (f"pending?offset={'0' * 20}{'9' * 30}", "offset: must be"),
        ("pending?offset=-1", "offset: must be a whole number from 0"),
        ("pending?status=done", "status: must be one of pending, processing, completed"),
        ("pending?status=", "status: must be one of"),
        ("pending?token_id=abc", "token_id: must be a UUID"),
        ("pending?token_id=0a1b2c3d00004000800000000000000001", "token_id: must be a UUID"),
        ("pending?order_id=", "order_id: must have 1 to 500 characters"),
        ("pending?order_id=a%00b", "order_id: must have 1 to 500 characters"),
        (f"pending?order_id={'a' * 501}", "order_id: must have 1 to 500 characters"),
        ("pending?order_id=%ff", "query: must be percent-encoded UTF-8"),
        ("pending?limit=1&limit=2", "limit: is given twice"),
        ("pending?tokenid=1", "tokenid: is unknown; the nearest known name is token_id"),
        ("pending?limit=0&offset=-1", "limit: must be a whole number from 1 to 200; offset: must"),
        ("status?verbose=1", "verbose: is unknown; this call has no parameters"),
        ("operations/7", "id: must be a UUID"),
        ("operations/" + "x" * 2000, "id: must be a UUID"),
        (f"operations/{UUID(int=7)}?id=7", "id: is unknown"),
        ("orders/%ff", "path: must be percent-encoded UTF-8"),
        ("orders/a%00", "order_id: must have"),
        ("orders/", "order_id: must have"),
        ("history?hours=841", "hours: must be a whole number from 1 to 840"),
        (f"history?hours={'0' * 19}1999", "hours: must be"),
    ],
)
async def test_a_bad_parameter_is_422_and_named_with_its_rule(
    asker: Asker, path: str, named: str
) -> None:
    answered = await asker.get(path)
    assert answered.status == 422
    assert answered.detail.startswith(named)


async def test_a_misspelt_account_reconciles_nothing(asker: Asker, outbox: Outbox) -> None:
    await reconciling(outbox)
    answered = await asker.act("POST", f"reconcile?token={ACCOUNT}")
    assert (answered.status, "token_id" in answered.detail) == (422, True)
    assert await outbox.connection.fetchval("SELECT asked::text FROM stock_sync_timers") == "[]"


async def test_probes_may_add_what_they_like_to_their_paths(asker: Asker) -> None:
    for path in ("/healthz?from=lb", "/readyz?x=%ff", "/metrics?collect[]=all"):
        assert (await asker.get(path)).status == 200


# --- who may ask ---------------------------------------------------------------------------------

OPEN = ("/healthz", "/readyz", "/openapi.json")
READ = ("/metrics", f"{BASE}/status", f"{BASE}/pending", f"{BASE}/errors", f"{BASE}/history")
WRITE = (
    ("POST", "reconcile"),
    ("POST", f"retry/{uuid4()}"),
    ("DELETE", f"cancel/{uuid4()}"),
)


async def test_on_this_machine_reading_needs_no_token(asker: Asker) -> None:
    for path in (*OPEN, *READ):
        assert (await asker.get(path)).status == 200


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({}, None),
        ({"Authorization": "Bearer wrong"}, "invalid_token"),
        ({"Authorization": f"Bearer {TOKEN}x"}, "invalid_token"),
        ({"Authorization": f"Bearer {TOKEN[:-1]}"}, "invalid_token"),
        ({"Authorization": "Bearer"}, "invalid_token"),
        ({"Authorization": "Bearer größer"}, "invalid_token"),
        ({"Authorization": f"Basic {TOKEN}"}, None),
        ({"Authorization": TOKEN}, None),
    ],
)
async def test_acting_needs_the_token_always(
    asker: Asker, headers: dict[str, str], error: str | None
) -> None:
    for method, path in WRITE:
        answered = await asker.ask(method, path, headers=headers)
        assert answered.status == 401
        assert TOKEN not in answered.text
        challenge = answered.headers["WWW-Authenticate"]
        assert challenge.startswith('Bearer realm="stocksync"')
        assert ('error="invalid_token"' in challenge) is (error is not None)


async def test_the_scheme_may_be_written_in_any_case(asker: Asker) -> None:
    answered = await asker.ask(
        "POST", f"retry/{uuid4()}", headers={"Authorization": f"bearer  {TOKEN}"}
    )
    assert answered.status == 404


async def test_without_a_token_in_the_settings_nobody_acts(database: Database) -> None:
    async with asking(database, token=None) as asker:
        for given in (None, TOKEN, "None", ""):
            for method, path in WRITE:
                answered = await asker.ask(method, path, token=given)
                assert answered.status == 401
                assert "STOCK_SYNC_HTTP_TOKEN" in answered.detail


async def test_where_others_may_ask_reading_needs_the_token(database: Database) -> None:
    async with asking(database, host="0.0.0.0") as asker:
        for path in OPEN:
            assert (await asker.get(path)).status == 200
        for path in READ:
            assert (await asker.get(path)).status == 401
            assert (await asker.get(path, token=TOKEN)).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:9108"},
        {"Host": ""},
        {"Host": "127.0.0.1.evil.example"},
        {"X-Forwarded-For": "203.0.113.7"},
        {"Forwarded": "for=203.0.113.7"},
        {"Via": "1.1 proxy"},
    ],
)
async def test_a_strangers_page_or_a_proxy_reads_nothing_without_the_token(
    asker: Asker, headers: dict[str, str]
) -> None:
    for path in READ:
        assert (await asker.get(path, headers=headers)).status == 401
        assert (await asker.get(path, headers=headers, token=TOKEN)).status == 200


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST:1", "127.0.0.1:9108", "[::1]:9108"])
async def test_this_machine_has_several_names(asker: Asker, name: str) -> None:
    assert (await asker.get("status", headers={"Host": name})).status == 200


# --- what is not there ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/nothing", "/healthz/", f"{BASE}/", f"{BASE}/cancel", "/..", "/%2e%2e/etc/passwd"]
)
async def test_an_unknown_path_is_404_with_a_detail(asker: Asker, path: str) -> None:
    answered = await asker.get(path)
    assert (answered.status, bool(answered.detail)) == (404, True)


async def test_a_wrong_method_is_405_and_says_which_are_right(asker: Asker) -> None:
    for method, path, allowed in (
        ("POST", "/healthz", "GET, HEAD"),
        ("GET", f"{BASE}/retry/{uuid4()}", "POST"),
        ("POST", f"{BASE}/cancel/{uuid4()}", "DELETE"),
        ("OPTIONS", f"{BASE}/status", "GET, HEAD"),
    ):
        answered = await asker.ask(method, path)
        assert (answered.status, answered.headers["Allow"]) == (405, allowed)
        assert answered.detail


async def test_head_is_get_without_its_body(asker: Asker) -> None:
    answered = await asker.ask("HEAD", "/readyz")
    assert (answered.status, answered.text) == (200, "")


async def test_a_bug_is_500_and_shows_nothing_of_how(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("s3cret")

    monkeypatch.setattr(Operations, "list_operations", broken)
    async with asker.session.get(f"{asker.url}{BASE}/pending") as response:
        text = await response.text()
    assert response.status == 500
    assert "s3cret" not in text
    assert "Traceback" not in text
    assert json.loads(text)["detail"]


async def test_every_answer_forbids_what_a_browser_might_do_with_it(asker: Asker) -> None:
    for path in (*OPEN, *READ, "/nothing"):
        headers = (await asker.get(path)).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert headers["Server"] == "stocksync"
        assert "Access-Control-Allow-Origin" not in headers


# --- the page ------------------------------------------------------------------------------------


async def test_the_page_may_run_its_own_script_and_ask_this_server_only(
    asker: Asker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "page.html"
    file.write_text("<style>p { color: red }</style><p>Да</p><script>ask()</script>", "utf-8")
    monkeypatch.setattr(page, "FILE", file)
    page._text.cache_clear()
    async with asker.session.get(f"{asker.url}/") as response:
        assert (response.status, response.content_type) == (200, "text/html")
        assert "Да" in await response.text()
        policy = response.headers["Content-Security-Policy"]
    page._text.cache_clear()
    assert "script-src 'sha256-inhqo8UEOtta3Yf/3uJCGUt2o6pzuDBPHXRBiutLwio='" in policy
    assert "connect-src 'self'" in policy
    assert "unsafe" not in policy


async def test_an_installation_without_a_page_says_so(
    asker: Asker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(page, "FILE", tmp_path / "page.html")
    page._text.cache_clear()
    async with asker.session.get(f"{asker.url}/") as response:
        assert response.status == 404
        assert "page" in (await response.json())["detail"]


# --- the document --------------------------------------------------------------------------------


async def test_the_document_describes_every_route_and_its_schemas_are_sound(asker: Asker) -> None:
    document = (await asker.get("/openapi.json")).document
    assert document["openapi"] == "3.1.0"
    described = {(method.upper(), path) for path, at in document["paths"].items() for method in at}
    assert described == {(route.method, route.path) for route in asker.web._routes}
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for path, methods in document["paths"].items():
        for operation in methods.values():
            named = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
            assert all(f"{{{name}}}" in path for name in named)
            assert path.count("{") == len(named)


async def test_the_table_of_calls_in_the_readme_is_that_of_the_code(asker: Asker) -> None:
    needs = {Need.NOTHING: "–", Need.TO_READ: "to read", Need.TO_ACT: "to act"}
    readme = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| `([A-Z]+) (/\S*)` \| (.*?) \|", readme, re.MULTILINE)
    assert rows == [(route.method, route.path, needs[route.need]) for route in asker.web._routes]


# --- slow, hostile and many ----------------------------------------------------------------------


async def closed_by_server(reader: asyncio.StreamReader) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        try:
            while await reader.read(1000):
                pass
        except ConnectionError:
            return


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nA: b\r\n"])
async def test_who_does_not_finish_asking_is_cut_off(
    asker: Asker, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(connections, "ASKING_SECONDS", 0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", asker.web.port)
    writer.write(sent)
    await closed_by_server(reader)
    writer.close()
    await until(lambda: not _connections(asker))


async def test_who_does_not_take_the_answer_is_cut_off(
    asker: Asker, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "ANSWERING_SECONDS", 0.3)
    # More than the kernel keeps for a client that does not read.
    await outbox.connection.execute(
        "INSERT INTO pending_stock_operations (token_id, order_id, sku, quantity)"
        " SELECT $1, 'order', repeat('x', 100000), 1 FROM generate_series(1, 200)",
        ACCOUNT,
    )
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", asker.web.port))
        client.send(f"GET {BASE}/pending?limit=200 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await until(lambda: _connections(asker) == 1)
        await until(lambda: not _connections(asker))


async def test_a_connection_serves_one_request(asker: Asker) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", asker.web.port)
    writer.write(2 * b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert (await reader.read()).count(b"HTTP/1.1 200 OK") == 1
    writer.close()


async def opened(
    asker: Asker, count: int, *, sent: bytes = b""
) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """So many connections, in the order in which the server has taken them."""
    connections = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", asker.web.port)
        writer.write(sent)
        connections.append((reader, writer))
    return connections


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HT"])
async def test_who_only_holds_connections_takes_health_from_nobody(
    asker: Asker, sent: bytes
) -> None:
    idle = await opened(asker, connections.MOST_CONNECTIONS, sent=sent)
    await until(lambda: _connections(asker) == connections.MOST_CONNECTIONS)
    idle += await opened(asker, 6, sent=sent)
    for _ in range(3):
        assert (await asker.get("/healthz")).status == 200
    # The oldest made room, and no more of them than had to.
    for reader, _ in idle[:7]:
        await closed_by_server(reader)
    await until(lambda: _connections(asker) == connections.MOST_CONNECTIONS - 1)
    for _, writer in idle:
        writer.close()


async def test_more_calls_at_once_than_probes_and_people_need_are_refused(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_asked, go_on = 0, asyncio.Event()

    async def slow(_: Request) -> Answer:
        nonlocal is_asked
        is_asked += 1
        await go_on.wait()
        return Answer(body=b"{}")

    monkeypatch.setattr(asker.web._server, "_serve", slow)
    sent = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    asking = await opened(asker, connections.MOST_CONNECTIONS, sent=sent)
    await until(lambda: is_asked == connections.MOST_CONNECTIONS)
    [(reader, writer)] = await opened(asker, 1)
    await closed_by_server(reader)
    writer.close()
    go_on.set()
    for reader, writer in asking:
        assert (await reader.read()).startswith(b"HTTP/1.1 200 OK")
        writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + 20_000 * b"a" + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + 1000 * b"a: b\r\n" + b"\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_cut_off_and_says_nothing_in_the_log(
    asker: Asker, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", asker.web.port)
    writer.write(sent)
    async with asyncio.timeout(PATIENCE_SECONDS):
        answered = await reader.read()
    assert b" 400 " in answered.partition(b"\r\n")[0]
    assert b"Traceback" not in answered
    writer.close()
    assert not caplog.records
    assert (await asker.get("/healthz")).status == 200


async def in_chunks(body: bytes) -> AsyncIterator[bytes]:
    yield body


@pytest.mark.parametrize("body", [b"{}", b"x" * 1025], ids=["short", "long"])
@pytest.mark.parametrize("is_chunked", [False, True], ids=["whole", "chunked"])
async def test_a_body_is_refused_on_every_call(
    asker: Asker, outbox: Outbox, body: bytes, is_chunked: bool
) -> None:
    await reconciling(outbox)
    document = (await asker.get("/openapi.json")).document
    for route in asker.web._routes:
        path = re.sub(r"\{\w+\}", str(uuid4()), route.path)
        async with asker.session.request(
            route.method,
            asker.url + path,
            headers={"Authorization": f"Bearer {TOKEN}"},
            data=in_chunks(body) if is_chunked else body,
        ) as response:
            assert response.status == 413
            assert "body" in (await response.json())["detail"]
        assert "413" in document["paths"][route.path][route.method.lower()]["responses"]
    # A token_id in a body, taken for nothing, would have meant every account.
    assert await outbox.connection.fetchval("SELECT asked::text FROM stock_sync_timers") == "[]"


async def test_an_empty_body_is_none(asker: Asker) -> None:
    async with asker.session.post(
        f"{asker.url}{BASE}/retry/{uuid4()}",
        headers={"Authorization": f"Bearer {TOKEN}", "Content-Length": "0"},
    ) as response:
        assert response.status == 404


async def test_many_who_ask_how_it_stands_are_one_look_at_the_database(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    status = Operations.status

    async def counted(self: Operations, *, limits: Limits) -> Standing:
        nonlocal looks
        looks += 1
        return await status(self, limits=limits)

    monkeypatch.setattr(Operations, "status", counted)
    paths = 10 * ("/readyz", "/metrics", "status")
    answers = await asyncio.gather(*(asker.get(path) for path in paths))
    assert {each.status for each in answers} == {200}
    assert looks == 1


async def test_a_look_is_kept_twenty_times_as_long_as_it_took(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asker.get("status")
    cheap_seconds = _fresh_seconds(asker)
    assert 4 < cheap_seconds <= 5
    monkeypatch.setattr(desk, "FRESH_COSTS", 1_000_000)
    asker.web._glance.forget()
    await asker.get("status")
    assert _fresh_seconds(asker) > 60


async def test_probes_are_right_however_many_others_ask(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_asked, go_on = asyncio.Event(), asyncio.Event()
    list_operations = Operations.list_operations

    async def slow(self: Operations, **matching: object) -> Page:
        is_asked.set()
        await go_on.wait()
        return await list_operations(self, **matching)  # type: ignore[arg-type]

    monkeypatch.setattr(Operations, "list_operations", slow)
    readers = [asyncio.create_task(asker.get("pending?limit=200")) for _ in range(30)]
    await is_asked.wait()
    await until(lambda: any(reader.done() for reader in readers))
    assert asker.web._glance._desk._waiting == desk.MOST_WAITING
    probing = [asyncio.create_task(asker.get(path)) for path in ("/readyz", "/metrics")]
    await until(lambda: asker.web._glance._looking is not None or probing[0].done())
    go_on.set()
    ready, exposed = await asyncio.gather(*probing)
    assert (ready.status, ready.document["verdict"]) == (200, "OK")
    assert "stocksync_database_up 1.0" in exposed.text
    assert {(await reader).status for reader in readers} == {200, 503}


async def test_a_look_that_takes_long_is_not_waited_for_and_the_last_one_shown_for_a_time(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    before = (await asker.get("status")).document
    monkeypatch.setattr(probes, "EXPOSED_SECONDS", 0)
    monkeypatch.setattr(desk, "QUESTION_SECONDS", 0.1)
    monkeypatch.setattr(Operations, "status", slow)
    asker.web._glance.forget()
    assert (await asker.get("/readyz")).status == 200
    assert (await asker.get("status")).document == before
    assert "stocksync_database_up 1.0" in (await asker.get("/metrics")).text
    monkeypatch.setattr(asker.web._glance, "_kept_until", 0.0)
    ready = await asker.get("/readyz")
    assert (ready.status, ready.document["verdict"]) == (503, None)
    assert "within 0.1 s" in ready.document["reasons"][0]
    # It is slow; whether it is away is not known.
    assert "stocksync_database_up " not in (await asker.get("/metrics")).text


async def test_a_standing_is_kept_for_a_minute_after_it_was_fresh(asker: Asker) -> None:
    await asker.get("status")
    glance = asker.web._glance
    assert glance._kept_until - glance._fresh_until == desk.KEPT_SECONDS == 60


async def test_an_outage_of_the_database_is_looked_at_once_a_second(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    async def away(*_: object, **__: object) -> None:
        nonlocal looks
        looks += 1
        raise DatabaseUnavailable("the database is away")

    monkeypatch.setattr(Operations, "status", away)
    monkeypatch.setattr(desk, "FAILED_SECONDS", 3600)
    assert {(await asker.get("status")).status for _ in range(5)} == {503}
    assert looks == 1


async def test_one_question_at_a_time_goes_to_the_database_and_few_wait() -> None:
    waiting = Desk(question_seconds=PATIENCE_SECONDS)
    asked, most = 0, 0
    go_on = asyncio.Event()

    async def question() -> str:
        nonlocal asked, most
        asked += 1
        most = max(most, asked)
        await go_on.wait()
        asked -= 1
        return "answer"

    first = [asyncio.create_task(waiting.ask(question)) for _ in range(desk.MOST_WAITING)]
    await until(lambda: asked == 1)
    with pytest.raises(Refusal, match="too many"):
        await waiting.ask(question)
    go_on.set()
    assert set(await asyncio.gather(*first)) == {"answer"}
    assert most == 1


async def test_the_look_for_everybody_is_before_all_who_wait_and_never_too_many() -> None:
    waiting = Desk(question_seconds=PATIENCE_SECONDS)
    order: list[str] = []
    go_on = asyncio.Event()

    async def question() -> None:
        order.append("question")
        await go_on.wait()

    async def look() -> None:
        order.append("look")

    questions = [asyncio.create_task(waiting.ask(question)) for _ in range(desk.MOST_WAITING)]
    await until(lambda: order == ["question"])
    looking = asyncio.create_task(waiting.ask_first(look))
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(looking, *questions)
    assert order == ["question", "look", *(desk.MOST_WAITING - 1) * ["question"]]


async def test_after_a_question_the_database_rests_three_times_as_long() -> None:
    resting = Desk()
    now = asyncio.get_running_loop().time

    async def question() -> float:
        began_at = now()
        await asyncio.sleep(0.05)
        return began_at

    first, second = await asyncio.gather(resting.ask(question), resting.ask(question))
    # What rested were 0.15 s, after the first one's 0.05 s.
    assert second - first >= 0.19


async def test_a_flood_of_calls_waits_for_its_turn(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "CALLS_A_SECOND", 20)
    monkeypatch.setattr(connections, "CALLS_AT_ONCE", 2)
    now = asyncio.get_running_loop().time
    began_at = now()
    answers = await asyncio.gather(*(asker.get("/healthz") for _ in range(12)))
    assert {each.status for each in answers} == {200}
    assert now() - began_at >= 0.45


async def test_a_question_that_is_too_large_is_given_up_and_is_no_outage(
    asker: Asker,
    outbox: Outbox,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as impatient:
        impatient.setattr(asker.web._glance._desk, "_question_seconds", 0.2)
        async with outbox.connection.transaction():
            await outbox.connection.execute("LOCK pending_stock_operations")
            answered = await asker.get("pending")
    assert (answered.status, "within 0.2 s" in answered.detail) == (503, True)
    assert "database.unavailable" not in "".join(capsys.readouterr())
    assert (await asker.get("pending")).status == 200


def _connections(asker: Asker) -> int:
    made = asker.web._server._connections
    return len(made._open.connections) if made else 0


def _fresh_seconds(asker: Asker) -> float:
    return asker.web._glance._fresh_until - asyncio.get_running_loop().time()


# --- its port ------------------------------------------------------------------------------------


def a_web(database: Database, *, host: str = "127.0.0.1", port: int = 0) -> Web:
    return Web(
        host=host,
        port=port,
        token=None,
        database=database,
        operations=Operations(database=database),
        timers=Timers(database=database, by="a test"),
        metrics=metrics(),
        names=Names(accounts=Service().accounts),
        limits=Limits(),
        why_not_ready=lambda: None,
        wake=lambda: None,
    )


async def test_a_port_that_is_taken_is_a_wrong_setting(asker: Asker, database: Database) -> None:
    with pytest.raises(SettingsError, match=f"HTTP_PORT: {asker.web.port} at 127.0.0.1 is taken"):
        await a_web(database, port=asker.web.port).start()


@pytest.mark.parametrize("host", ["192.0.2.1", "nowhere.invalid"])
async def test_a_host_that_is_not_this_one_is_a_wrong_setting(
    database: Database, host: str
) -> None:
    with pytest.raises(SettingsError, match="STOCK_SYNC_HTTP_HOST: cannot listen at"):
        await a_web(database, host=host).start()


async def test_it_stops_listening_when_it_is_closed(database: Database) -> None:
    web = a_web(database)
    await web.start()
    await web.close()
    await web.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", web.port)
    again = a_web(database, port=web.port)
    await again.start()
    await again.close()
