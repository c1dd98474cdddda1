"""The stand-in: it answers as the microservice does, breaks to order, and sees everything."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import pytest

from stocksync.demo.microservice import (
    Control,
    Delivery,
    Effect,
    Fault,
    Matches,
    StandIn,
    token_not_found,
)
from tests.service import OTHER_TOKEN_ID, SECRET, TOKEN_ID, USER_ID, running_stand_in

UNKNOWN_TOKEN_ID = "99999999-9999-4999-8999-999999999999"
PATIENCE_SECONDS = 30.0


def bearer(**claims: object) -> dict[str, str]:
    every = {"user_id": USER_ID, "exp": int(time.time()) + 600, **claims}
    token = jwt.encode({k: v for k, v in every.items() if v is not None}, SECRET)
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
async def stand_in() -> AsyncIterator[StandIn]:
    async with running_stand_in() as service:
        yield service


@pytest.fixture
async def caller(stand_in: StandIn) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=stand_in.url, headers=bearer(), timeout=PATIENCE_SECONDS, trust_env=False
    ) as client:
        yield client


def status_path(order_id: str = "o", token_id: str = TOKEN_ID) -> str:
    return f"/api/v1/orders/{order_id}/stock-status?token_id={token_id}"


async def patch(
    caller: httpx.AsyncClient, order_id: str = "o", *, flag: object = True, token: str = TOKEN_ID
) -> httpx.Response:
    return await caller.patch(status_path(order_id, token), json={"is_stock_updated": flag})


# Answers


async def test_a_patch_of_an_unknown_order_is_200_and_leaves_a_flag(
    stand_in: StandIn, caller: httpx.AsyncClient
) -> None:
    answer = await patch(caller)
    content = answer.json()
    assert (answer.status_code, content["success"], content["order_id"]) == (200, True, "o")
    assert content["is_stock_updated"] is True
    assert set(content) == {"success", "order_id", "is_stock_updated", "updated_at", "message"}
    assert stand_in.microservice.flags[TOKEN_ID, "o"].is_stock_updated


async def test_the_last_write_wins_and_updated_at_stays(caller: httpx.AsyncClient) -> None:
    first, second = (await patch(caller)).json(), (await patch(caller, flag=False)).json()
    assert second["is_stock_updated"] is False
    assert second["updated_at"] == first["updated_at"]
    assert "+" not in first["updated_at"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": ""}, 403),
        ({"Authorization": "Basic eDp5"}, 403),
        ({"Authorization": "Bearer garbage"}, 401),
        ({"Authorization": "Bearer a.b.c"}, 401),
        (bearer(exp=1), 401),
        (bearer(exp=None), 401),
        (bearer(user_id=None), 401),
        (bearer(user_id=7), 401),
        ({"Authorization": bearer()["Authorization"] + "x"}, 401),
    ],
)
async def test_credentials_are_checked_before_anything_else(
    caller: httpx.AsyncClient, headers: dict[str, str], status: int
) -> None:
    answer = await caller.patch(status_path(token_id="no-uuid"), content=b"?", headers=headers)
    assert answer.status_code == status


@pytest.mark.parametrize("token", [UNKNOWN_TOKEN_ID, OTHER_TOKEN_ID])
async def test_an_unknown_token_and_another_user_s_are_the_same_404(
    stand_in: StandIn, caller: httpx.AsyncClient, token: str
) -> None:
    stand_in.microservice.accounts[OTHER_TOKEN_ID] = "somebody else"
    answer = await patch(caller, token=token)
    assert (answer.status_code, answer.json()) == (404, token_not_found(token))
    assert answer.json()["detail"].startswith("Токен")


@pytest.mark.parametrize("database", ["disconnected", "error"])
async def test_a_database_that_is_down_looks_like_an_unknown_token(
    stand_in: StandIn, caller: httpx.AsyncClient, database: str
) -> None:
    stand_in.microservice.database = database
    assert (await patch(caller)).json() == token_not_found(TOKEN_ID)
    health = await caller.get("/health")
    assert (health.status_code, health.json()["database"]) == (200, database)
    assert (await caller.get("/api/v1/tokens/")).json()["tokens"] == []
    orders = await caller.get(f"/api/v1/orders/?token_id={TOKEN_ID}")
    assert (orders.status_code, orders.json()["success"], orders.json()["orders"]) == (
        200,
        False,
        [],
    )


@pytest.mark.parametrize(
    ("path", "body", "problems"),
    [
        (status_path(token_id="x"), '{"is_stock_updated": true}', [("uuid_parsing", "token_id")]),
        ("/api/v1/orders/o/stock-status", '{"is_stock_updated": 1}', [("missing", "token_id")]),
        (status_path(), "{}", [("missing", "is_stock_updated")]),
        (status_path(), '{"is_stock_updated": "so"}', [("bool_parsing", "is_stock_updated")]),
        (status_path(), '{"is_stock_updated": null}', [("bool_parsing", "is_stock_updated")]),
        (status_path(), "", [("missing", "body")]),
        (status_path(), "[]", [("model_attributes_type", "body")]),
        (status_path(), "{", [("json_invalid", 1)]),
        (
            status_path(token_id="x"),
            "{}",
            [("uuid_parsing", "token_id"), ("missing", "is_stock_updated")],
        ),
    ],
)
async def test_what_is_malformed_is_422_in_fastapi_s_form(
    caller: httpx.AsyncClient, path: str, body: str, problems: list[tuple[str, object]]
) -> None:
    answer = await caller.patch(path, content=body)
    assert answer.status_code == 422
    detail = answer.json()["detail"]
    assert [(problem["type"], problem["loc"][-1]) for problem in detail] == problems
    assert all(set(problem) == {"type", "loc", "msg", "input"} for problem in detail)


@pytest.mark.parametrize("path", [status_path("a%2Fb"), status_path(""), "/api/v1/nothing"])
async def test_a_slash_in_an_id_misses_the_route(caller: httpx.AsyncClient, path: str) -> None:
    answer = await caller.patch(path, json={"is_stock_updated": True})
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/api/v1/orders?limit=1", "/api/v1/orders/?limit=1"),
        ("/api/v1/tokens", "/api/v1/tokens/"),
        ("/api/v1/orders/o/technical-flags/", "/api/v1/orders/o/technical-flags"),
    ],
)
async def test_a_slash_too_many_or_too_few_is_307(
    caller: httpx.AsyncClient, path: str, location: str
) -> None:
    answer = await caller.get(path)
    assert (answer.status_code, answer.headers["location"]) == (307, location)


async def test_another_method_is_405(caller: httpx.AsyncClient) -> None:
    answer = await caller.post(status_path())
    assert (answer.status_code, answer.headers["allow"]) == (405, "PATCH")


async def test_an_id_with_nul_is_500_and_one_that_is_not_utf8_is_another(
    caller: httpx.AsyncClient,
) -> None:
    assert (await patch(caller, "a%00b")).status_code == 500
    assert (await patch(caller, "a%FFb")).json()["order_id"] == "a\ufffdb"


async def test_reading_flags_makes_the_row(stand_in: StandIn, caller: httpx.AsyncClient) -> None:
    answer = await caller.get(f"/api/v1/orders/o/technical-flags?token_id={TOKEN_ID}")
    assert answer.json()["order_id"] == "o"
    assert answer.json()["technical_flags"]["is_stock_updated"] is False
    assert (TOKEN_ID, "o") in stand_in.microservice.flags
    await patch(caller)
    summary = await caller.get(f"/api/v1/orders/technical-flags/summary?token_id={TOKEN_ID}")
    assert summary.json()["summary"] == {"total_orders_with_flags": 1, "stock_updated_orders": 1}


async def test_tokens_are_the_user_s_own_in_pages(
    stand_in: StandIn, caller: httpx.AsyncClient
) -> None:
    stand_in.microservice.accounts[UNKNOWN_TOKEN_ID] = "somebody else"
    answer = (await caller.get("/api/v1/tokens/?per_page=1&page=2")).json()
    assert [token["id"] for token in answer["tokens"]] == [OTHER_TOKEN_ID]
    assert (answer["total"], answer["page"], answer["per_page"]) == (2, 2, 1)


async def test_one_order_cannot_be_asked_for(caller: httpx.AsyncClient) -> None:
    answer = await caller.get("/api/v1/orders/o")
    assert (answer.status_code, answer.json()["success"]) == (200, False)


# The list and its leak


async def orders(caller: httpx.AsyncClient, query: str = "") -> dict[str, Any]:
    answer = await caller.get(f"/api/v1/orders/?token_id={TOKEN_ID}{query}")
    assert answer.status_code == 200
    content: dict[str, Any] = answer.json()
    return content


async def test_the_list_has_flags_inside_pages_and_an_inner_join(
    stand_in: StandIn, caller: httpx.AsyncClient
) -> None:
    stand_in.microservice.orders[TOKEN_ID] = ["c", "b", "a"]
    await patch(caller, "b")
    page = await orders(caller, "&limit=2")
    assert [
        (order["allegro_order_id"], order["technical_flags"]["is_stock_updated"])
        for order in page["orders"]
    ] == [("c", False), ("b", True)]
    assert page["pagination"] == {
        "total": 3,
        "limit": 2,
        "offset": 0,
        "has_next": True,
        "has_prev": False,
    }
    assert [o["id"] for o in (await orders(caller, "&stock_updated=true"))["orders"]] == ["b"]
    assert (await orders(caller, "&stock_updated=false"))["orders"] == []
    foreign = await caller.get(f"/api/v1/orders/?token_id={UNKNOWN_TOKEN_ID}")
    too_many = await caller.get(f"/api/v1/orders/?token_id={TOKEN_ID}&limit=101")
    assert (foreign.status_code, too_many.status_code) == (500, 422)


async def test_listing_too_often_wedges_the_service_until_it_is_mended(
    stand_in: StandIn, caller: httpx.AsyncClient
) -> None:
    service = stand_in.microservice
    service.orders[TOKEN_ID] = ["o"]
    service.lists_until_wedged, service.wedged_seconds = 3, 0.01
    await patch(caller)
    for _ in range(3):
        assert (await orders(caller))["orders"][0]["technical_flags"]["is_stock_updated"] is True
    assert (await patch(caller)).json() == token_not_found(TOKEN_ID)
    page = await orders(caller)
    assert page["success"] is True
    assert page["orders"][0]["technical_flags"]["is_stock_updated"] is False
    service.leaked_connections = 0
    assert (await patch(caller)).status_code == 200


# One process, its connections, and those who leave


async def test_one_request_is_worked_on_at_a_time() -> None:
    async with (
        running_stand_in(service_seconds=0.02) as slow,
        httpx.AsyncClient(base_url=slow.url, headers=bearer(), timeout=PATIENCE_SECONDS) as client,
    ):
        await asyncio.gather(*(patch(client, str(n)) for n in range(4)))
        applied = sorted(received.applied_at or 0.0 for received in slow.record.received)
    assert all(later - earlier > 0.019 for earlier, later in pairwise(applied))


async def test_an_idle_connection_is_closed() -> None:
    async with running_stand_in(idle_seconds=0.05) as stand_in:
        port = int(stand_in.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert (await reader.read()).startswith(b"HTTP/1.1 200")  # up to its end
        writer.close()
        await writer.wait_closed()


async def test_a_patch_whose_client_has_gone_is_still_applied(
    stand_in: StandIn, caller: httpx.AsyncClient
) -> None:
    stand_in.inject(Fault(effect=Effect(hang_seconds=60)))
    call = asyncio.create_task(patch(caller))
    await stand_in.until(lambda: stand_in.record.most_in_flight == 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert stand_in.microservice.flags == {}
    stand_in.lift()
    await stand_in.until(lambda: stand_in.record.received[0].applied_at is not None)
    assert stand_in.microservice.flags[TOKEN_ID, "o"].is_stock_updated


async def test_a_service_that_stopped_refuses_and_comes_back_at_the_same_url(
    stand_in: StandIn, caller: httpx.AsyncClient
) -> None:
    url = stand_in.url
    await patch(caller)
    await stand_in.stop_listening()
    with pytest.raises(httpx.ConnectError):
        await patch(caller)
    await stand_in.listen()
    assert (await patch(caller)).status_code == 200
    assert stand_in.url == url


async def test_a_call_in_flight_is_lost_when_the_service_stops(
    stand_in: StandIn, caller: httpx.AsyncClient
) -> None:
    stand_in.inject(Fault(effect=Effect(hang_seconds=60)))
    call = asyncio.create_task(patch(caller))
    await stand_in.until(lambda: stand_in.record.most_in_flight == 1)
    await stand_in.stop_listening()
    with pytest.raises(httpx.TransportError):
        await call
    assert stand_in.record.received[0].applied_at is None


# Faults


@pytest.mark.parametrize(
    ("matches", "statuses"),
    [
        (Matches(), [503, 503, 503]),
        (Matches(order_id="a"), [503, 200, 503]),
        (Matches(token_id=TOKEN_ID), [503, 503, 200]),
        (Matches(token_id=TOKEN_ID, order_id="a"), [503, 200, 200]),
        (Matches(route="stock_status"), [503, 503, 503]),
        (Matches(route="technical_flags"), [200, 200, 200]),
    ],
)
async def test_a_fault_takes_what_it_matches(
    stand_in: StandIn, caller: httpx.AsyncClient, matches: Matches, statuses: list[int]
) -> None:
    stand_in.inject(Fault(matches=matches, effect=Effect(status=503, content="")))
    answers = [
        await patch(caller, "a"),
        await patch(caller, "b"),
        await patch(caller, "a", token=OTHER_TOKEN_ID),
    ]
    assert [answer.status_code for answer in answers] == statuses


async def test_a_fault_may_be_for_the_first_few_and_is_lifted_by_itself_or_with_all(
    stand_in: StandIn, caller: httpx.AsyncClient
) -> None:
    few = Fault(effect=Effect(status=500, content="Internal Server Error"), first=1)
    always = Fault(effect=Effect(status=429, content={}, headers={"Retry-After": "3"}))
    for fault in (few, always):
        stand_in.inject(fault)
    first, second = await patch(caller), await patch(caller)
    assert (first.status_code, first.headers["content-type"]) == (500, "text/plain; charset=utf-8")
    assert (second.status_code, second.headers["retry-after"]) == (429, "3")
    stand_in.lift(always)
    assert (await patch(caller)).status_code == 200


@pytest.mark.parametrize("is_applied", [True, False])
async def test_a_fault_says_whether_the_work_is_done(
    stand_in: StandIn, caller: httpx.AsyncClient, *, is_applied: bool
) -> None:
    stand_in.inject(Fault(effect=Effect(status=504, content="", is_applied=is_applied)))
    assert (await patch(caller)).status_code == 504
    assert ((TOKEN_ID, "o") in stand_in.microservice.flags) is is_applied


@pytest.mark.parametrize("delivery", [Delivery.RESET, Delivery.HALF])
async def test_an_answer_can_break_off(
    stand_in: StandIn, caller: httpx.AsyncClient, delivery: Delivery
) -> None:
    stand_in.inject(Fault(effect=Effect(delivery=delivery)))
    with pytest.raises(
        httpx.ReadError if delivery is Delivery.RESET else httpx.RemoteProtocolError
    ):
        await patch(caller)


@pytest.mark.parametrize("delivery", [Delivery.DRIP, Delivery.ENDLESS])
async def test_an_answer_can_go_on_and_on(
    stand_in: StandIn, caller: httpx.AsyncClient, delivery: Delivery
) -> None:
    stand_in.inject(Fault(effect=Effect(delivery=delivery)))
    async with caller.stream("PATCH", status_path(), json={"is_stock_updated": True}) as answer:
        chunks = answer.aiter_raw()
        seen = [len(await anext(chunks)) for _ in range(3)]
        with suppress(RuntimeError):
            await chunks.aclose()  # type: ignore[attr-defined]
    assert all(seen)
    assert sum(seen) == 3 if delivery is Delivery.DRIP else sum(seen) > 1000


# The record


async def test_every_patch_is_recorded_in_order(
    stand_in: StandIn, caller: httpx.AsyncClient
) -> None:
    before = time.monotonic()
    await patch(caller, "a")
    await patch(caller, "b", flag=False)
    await patch(caller, "c", flag="?")
    await caller.get("/health")
    received = stand_in.record.received
    assert [(r.order_id, r.is_stock_updated, r.status) for r in received] == [
        ("a", True, 200),
        ("b", False, 200),
        ("c", None, 422),
    ]
    moments = [m for r in received[:2] for m in (r.arrived_at, r.applied_at, r.finished_at)]
    assert [before, *moments] == sorted(m for m in [before, *moments] if m is not None)
    assert received[2].applied_at is None


async def test_two_patches_of_one_order_at_once_are_noticed(
    stand_in: StandIn, caller: httpx.AsyncClient
) -> None:
    stand_in.inject(Fault(effect=Effect(hang_seconds=60)))
    calls = [
        asyncio.create_task(call)
        for call in (patch(caller, "a"), patch(caller, "a", token=OTHER_TOKEN_ID), patch(caller))
    ]
    await stand_in.until(lambda: stand_in.record.most_in_flight == 3)
    assert stand_in.record.overlaps == []
    calls.append(asyncio.create_task(patch(caller, "a")))
    await stand_in.until(lambda: stand_in.record.most_in_flight == 4)
    assert stand_in.record.overlaps == [(TOKEN_ID, "a")]
    stand_in.lift()
    await asyncio.gather(*calls)


async def test_patches_one_after_another_are_no_overlap(
    stand_in: StandIn, caller: httpx.AsyncClient
) -> None:
    for _ in range(50):
        await patch(caller)
    assert (stand_in.record.overlaps, stand_in.record.most_in_flight) == ([], 1)


async def test_waiting_for_what_does_not_come_ends(stand_in: StandIn) -> None:
    with pytest.raises(TimeoutError):
        await stand_in.until(lambda: False, timeout_seconds=0.01)


# The control


async def test_the_control_changes_what_it_is_told_and_shows_what_was_seen(
    stand_in: StandIn, caller: httpx.AsyncClient
) -> None:
    control = Control(stand_in)
    await control.start()
    fault = {
        "effect": {"status": 503, "content": "", "delivery": "whole"},
        "matches": {"order_id": "a"},
        "first": 1,
    }
    await caller.post(
        control.url, json={"inject": [fault], "accounts": {UNKNOWN_TOKEN_ID: USER_ID}}
    )
    assert [(await patch(caller, "a", token=UNKNOWN_TOKEN_ID)).status_code for _ in "12"] == [
        503,
        200,
    ]
    seen = (await caller.get(f"{control.url}?since=1")).json()
    assert [(r["order_id"], r["status"]) for r in seen["received"]] == [("a", 200)]
    assert seen["flags"] == [[UNKNOWN_TOKEN_ID, "a", True]]
    seen = (await caller.post(control.url, json={"listening": False, "forget": True})).json()
    assert (seen["is_listening"], seen["received"]) == (False, [])
    with pytest.raises(httpx.ConnectError):
        await caller.get("/health")
    await caller.post(control.url, json={"listening": True, "database": "error"})
    assert (await caller.get("/health")).json()["database"] == "error"
    await control.aclose()


@pytest.mark.parametrize(
    "verbs", [{"explode": True}, {"inject": [{"effect": {"explode": 1}}]}, [], {"inject": 7}]
)
async def test_the_control_refuses_what_it_does_not_know(
    stand_in: StandIn, caller: httpx.AsyncClient, verbs: object
) -> None:
    control = Control(stand_in)
    await control.start()
    assert (await caller.post(control.url, json=verbs)).status_code == 422
    await control.aclose()


# The process


@contextmanager
def process() -> Iterator[tuple[subprocess.Popen[bytes], dict[str, str]]]:
    command = [sys.executable, "-m", "stocksync.demo.microservice"]
    options = ["--secret", SECRET, "--account", f"{TOKEN_ID}={USER_ID}"]
    with subprocess.Popen(
        [*command, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as running:
        assert running.stdout
        try:
            yield running, json.loads(running.stdout.readline())
        finally:
            running.kill()


def test_a_stand_in_of_its_own_serves_until_its_input_closes() -> None:
    with process() as (running, line), httpx.Client(trust_env=False, headers=bearer()) as client:
        answer = client.patch(line["url"] + status_path(), json={"is_stock_updated": True})
        assert answer.json()["success"] is True
        assert client.get(line["control_url"]).json()["flags"] == [[TOKEN_ID, "o", True]]
        assert running.stdin
        running.stdin.close()
        assert running.wait(PATIENCE_SECONDS) == 0


def test_a_stand_in_of_its_own_ends_at_sigterm() -> None:
    with process() as (running, _):
        running.send_signal(signal.SIGTERM)
        assert running.wait(PATIENCE_SECONDS) == 0


def refused(*options: str, **environment: str) -> tuple[int, str]:
    """A stand-in that does not start: its exit code, and the last line of what it says."""
    ended = subprocess.run(
        [sys.executable, "-m", "stocksync.demo.microservice", *options],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        env=os.environ | environment,
        check=False,
    )
    assert "Traceback" not in ended.stderr
    return ended.returncode, ended.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--account", "foo"), "'foo' is not TOKEN_ID=USER_ID"),
        (("--account", f"{TOKEN_ID}="), "is not TOKEN_ID=USER_ID"),
        (("--port", "65536"), "'65536' is not a port"),
        (("--service-seconds", "-1"), "'-1' is not a number of seconds"),
    ],
)
def test_a_stand_in_refuses_what_it_does_not_understand(
    options: tuple[str, ...], says: str
) -> None:
    code, line = refused(*options)
    assert code == 2
    assert says in line


@pytest.mark.parametrize("option", ["--port", "--control-port"])
def test_a_second_stand_in_does_not_share_the_port_of_the_first(option: str) -> None:
    with process() as (_, line):
        port = str(urlsplit(line["url"]).port)
        code, said = refused(option, port)
    assert (code, said.partition(": ")[2]) == (1, f"port {port}: Address already in use")


def test_a_stand_in_without_its_extra_says_what_to_install(tmp_path: Path) -> None:
    # As if the extra were not installed: None is how Python is told so.
    missing = "import sys\nsys.modules['aiohttp'] = None\n"
    (tmp_path / "sitecustomize.py").write_text(missing, encoding="utf-8")
    code, said = refused(PYTHONPATH=str(tmp_path))
    assert (code, said) == (1, "the stand-in needs aiohttp: pip install 'stocksync[demo]'")
