"""The gateway: what an answer means, what may have been sent, and that nothing leaks."""

import asyncio
import json
import re
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from string import ascii_letters, digits

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stocksync.demo.microservice import (
    Delivery,
    Effect,
    Fault,
    Matches,
    StandIn,
    token_not_found,
)
from stocksync.demo.microservice.validation import user_of_jwt
from stocksync.gateway import Gateway, GivenToken, Health, MintedToken
from stocksync.gateway.credentials import LIFETIME_SECONDS
from stocksync.model import (
    Cause,
    Done,
    Outcome,
    Push,
    Refused,
    Retry,
    ServiceUnavailable,
    SettingsError,
)
from stocksync.settings.urls import service_base_url
from tests.service import SECRET, TOKEN_ID, USER_ID, running_stand_in

ORDER = "order-1"
PATIENCE_SECONDS = 30.0  # where a deadline is not the promise: a busy machine is slow
PROOF = {"success": True, "order_id": ORDER, "is_stock_updated": True}
TEAPOT = '{"detail": "no"}'


def a_push(order_id: str = ORDER, *, balance: int = 1, token_id: str = TOKEN_ID) -> Push:
    return Push(
        token_id=token_id,
        order_id=order_id,
        balance=balance,
        rows=(),
        failed_ids=(),
        is_order_claimed=False,
        attempt=None,
        is_probe=False,
        claim_token=uuid.uuid4(),
    )


def minted(clock: Callable[[], float] = time.time) -> MintedToken:
    return MintedToken(secret=SECRET, user_id=USER_ID, clock=clock)


def a_gateway(
    base_url: str,
    *,
    credentials: MintedToken | GivenToken | None = None,
    timeout_seconds: float = PATIENCE_SECONDS,
    concurrency: int = 8,
    transport: Callable[[], httpx.AsyncBaseTransport] | None = None,
) -> Gateway:
    return Gateway(
        base_url=base_url,
        credentials=credentials or minted(),
        timeout_seconds=timeout_seconds,
        concurrency=concurrency,
        transport=transport,
    )


@asynccontextmanager
async def answering(
    status: int, body: str | bytes, headers: dict[str, str] | None = None
) -> AsyncIterator[Gateway]:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=body, headers=headers)

    async with a_gateway(
        "http://service", transport=lambda: httpx.MockTransport(answer)
    ) as gateway:
        yield gateway


@pytest.fixture
async def stand_in() -> AsyncIterator[StandIn]:
    async with running_stand_in() as service:
        yield service


@pytest.fixture
async def gateway(stand_in: StandIn) -> AsyncIterator[Gateway]:
    async with a_gateway(stand_in.url) as gateway:
        yield gateway


def retry_of(outcome: Outcome) -> Retry:
    assert isinstance(outcome, Retry)
    return outcome


# The table of answers


def proof_with(**changes: object) -> str:
    return json.dumps({**PROOF, **changes})


@pytest.mark.parametrize(
    ("status", "body", "cause", "is_ambiguous"),
    [
        (200, proof_with(success=False), Cause.OPERATION, False),
        (200, proof_with(success=1), Cause.OPERATION, False),
        (200, proof_with(order_id="other"), Cause.OPERATION, False),
        (200, proof_with(is_stock_updated=False), Cause.OPERATION, False),
        (200, proof_with(is_stock_updated=1), Cause.OPERATION, False),
        (200, '{"success": true}', Cause.OPERATION, False),
        (200, "{}", Cause.OPERATION, False),
        (200, "[]", Cause.OPERATION, True),
        (200, "<html>be back soon</html>", Cause.OPERATION, True),
        (200, "", Cause.OPERATION, True),
        (200, b"\xff\xfe", Cause.OPERATION, True),
        (200, "[" * 60_000, Cause.OPERATION, True),
        (204, "", Cause.OPERATION, False),
        (301, "", Cause.ENVIRONMENT, False),
        (307, "", Cause.ENVIRONMENT, False),
        (400, TEAPOT, Cause.OPERATION, False),
        (401, TEAPOT, Cause.CREDENTIALS, False),
        (403, TEAPOT, Cause.CREDENTIALS, False),
        (404, json.dumps(token_not_found(TOKEN_ID)), Cause.TOKEN, False),
        (404, '{"detail": "Not Found"}', Cause.ENVIRONMENT, False),
        (404, "<html>nginx</html>", Cause.ENVIRONMENT, False),
        (405, '{"detail": "Method Not Allowed"}', Cause.ENVIRONMENT, False),
        (408, "", Cause.ENVIRONMENT, False),
        (429, "", Cause.ENVIRONMENT, False),
        (500, "Internal Server Error", Cause.OPERATION, False),
        (500, TEAPOT, Cause.OPERATION, False),
        (502, "", Cause.ENVIRONMENT, True),
        (503, "", Cause.ENVIRONMENT, False),
        (504, "", Cause.ENVIRONMENT, True),
        (524, "", Cause.ENVIRONMENT, True),
    ],
)
async def test_an_answer_that_is_not_done_is_a_retry(
    status: int, body: str | bytes, cause: Cause, *, is_ambiguous: bool
) -> None:
    async with answering(status, body) as gateway:
        retry = retry_of(await gateway.push(a_push()))
    assert (retry.cause, retry.is_ambiguous) == (cause, is_ambiguous)
    assert retry.http_status == status
    assert retry.reason.startswith(str(status))
    assert retry.after_seconds is None


@pytest.mark.parametrize("flag", [True, False])
async def test_done_is_a_200_that_proves_order_and_flag(*, flag: bool) -> None:
    async with answering(200, proof_with(is_stock_updated=flag)) as gateway:
        assert await gateway.push(a_push(balance=int(flag))) == Done()


async def test_a_422_is_refused_with_the_service_s_reason(stand_in: StandIn) -> None:
    async with a_gateway(stand_in.url) as gateway:
        refused = await gateway.push(a_push(token_id="no-uuid"))
    assert refused == Refused(
        reason="422 refused: query.token_id: Input should be a valid UUID", http_status=422
    )


@pytest.mark.parametrize("status", [404, 405, 307])
async def test_a_missed_route_says_so(status: int) -> None:
    async with answering(status, '{"detail": "Not Found"}') as gateway:
        assert "the route was missed" in retry_of(await gateway.push(a_push())).reason


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": " 7 "}, 7.0),
        ({"Retry-After": "9" * 400}, 86_400.0),
        ({"Retry-After": "-7"}, None),
        ({"Retry-After": "1e3"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": f"Wed, {'9' * 30} Oct 2015 07:28:00 GMT"}, None),
        (
            {
                "Date": "Wed, 21 Oct 2015 07:28:00 GMT",
                "Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT",
            },
            30.0,
        ),
        (
            {
                "Date": "Wed, 21 Oct 2015 07:28:00 GMT",
                "Retry-After": "Wed, 21 Oct 2015 07:27:00 GMT",
            },
            0.0,
        ),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"Retry-After": "Fri, 01 Jan 2100 00:00:00 GMT"}, 86_400.0),
    ],
)
@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_retry_after_is_seconds_or_a_date(
    status: int, headers: dict[str, str], seconds: float | None
) -> None:
    async with answering(status, "", headers) as gateway:
        assert retry_of(await gateway.push(a_push())).after_seconds == seconds


# Reasons


async def test_a_reason_is_one_short_line_without_control_characters() -> None:
    detail = "SQL\x00\x1b[31m\r\nSELECT \u2028\u202e\ud800 " + "x" * 5_000
    async with answering(500, json.dumps({"detail": detail})) as gateway:
        reason = retry_of(await gateway.push(a_push())).reason
    assert reason.isprintable()
    assert reason.startswith("500 error in the service: SQL [31m SELECT xxx")
    assert len(reason) == 300
    assert reason.endswith("…")


@pytest.mark.parametrize("status", [422, 500])
async def test_a_reason_holds_no_secret_even_when_the_service_sends_it_back(status: int) -> None:
    def echo(request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            status,
            text=f"{request.headers['authorization']} and {SECRET} and eyJhbGci.eyJ1c2Vy.c2ln",
        )

    credentials = minted()
    async with a_gateway(
        "http://service", credentials=credentials, transport=lambda: httpx.MockTransport(echo)
    ) as gateway:
        outcome = await gateway.push(a_push())
    assert not isinstance(outcome, Done)
    assert outcome.reason.endswith(": Bearer *** and *** and ***")


async def test_a_given_jwt_is_no_part_of_a_reason_or_a_repr() -> None:
    given = GivenToken("not.even.a-jwt")

    def echo(request: httpx.Request) -> httpx.Response:
        return httpx.Response(500, text=request.headers["authorization"])

    async with a_gateway(
        "http://service", credentials=given, transport=lambda: httpx.MockTransport(echo)
    ) as gateway:
        assert "a-jwt" not in retry_of(await gateway.push(a_push())).reason
    assert "a-jwt" not in repr(given)
    assert SECRET not in repr(minted())


# Sent, or surely not


class Breaking(httpx.AsyncBaseTransport):
    """Fails before or after the request's body is asked for."""

    def __init__(self, error: Exception, *, is_body_read: bool) -> None:
        self._error = error
        self._is_body_read = is_body_read

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._is_body_read:
            await request.aread()
        raise self._error


@pytest.mark.parametrize("is_sent", [True, False])
@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("slow"),
        httpx.PoolTimeout("full"),
        httpx.ReadError(""),
        httpx.ReadTimeout(""),
        httpx.WriteError("broken pipe"),
        httpx.RemoteProtocolError("not HTTP"),
        OSError("ssl"),
    ],
)
async def test_a_failure_is_ambiguous_from_the_first_byte_of_the_body(
    error: Exception, *, is_sent: bool
) -> None:
    async with a_gateway(
        "http://service", transport=lambda: Breaking(error, is_body_read=is_sent)
    ) as gateway:
        retry = retry_of(await gateway.push(a_push()))
    assert retry.cause is Cause.ENVIRONMENT
    assert retry.is_ambiguous is is_sent
    assert retry.http_status is None
    assert retry.reason.startswith("no answer" if is_sent else "no connection")
    assert type(error).__name__ in retry.reason


async def test_a_refused_connection_was_not_sent(stand_in: StandIn, gateway: Gateway) -> None:
    await stand_in.stop_listening()
    retry = retry_of(await gateway.push(a_push()))
    assert (retry.cause, retry.is_ambiguous) == (Cause.ENVIRONMENT, False)


async def test_tls_that_fails_was_not_sent(stand_in: StandIn) -> None:
    async with a_gateway(stand_in.url.replace("http:", "https:")) as gateway:
        retry = retry_of(await gateway.push(a_push()))
    assert (retry.cause, retry.is_ambiguous) == (Cause.ENVIRONMENT, False)
    assert stand_in.record.received == []


async def test_a_connection_that_does_not_come_is_over_at_the_deadline_and_was_not_sent() -> None:
    class Silent(httpx.AsyncBaseTransport):
        async def handle_async_request(self, _: httpx.Request) -> httpx.Response:
            await asyncio.Event().wait()
            raise AssertionError

    async with a_gateway("http://service", timeout_seconds=0.05, transport=Silent) as gateway:
        retry = retry_of(await gateway.push(a_push()))
    assert re.fullmatch(r"no connection to \S+ within 0.05 s", retry.reason)
    assert not retry.is_ambiguous


@pytest.mark.parametrize("delivery", [Delivery.RESET, Delivery.HALF])
async def test_an_answer_that_breaks_off_is_ambiguous(
    stand_in: StandIn, gateway: Gateway, delivery: Delivery
) -> None:
    stand_in.inject(Fault(effect=Effect(delivery=delivery)))
    retry = retry_of(await gateway.push(a_push()))
    assert (retry.cause, retry.is_ambiguous) == (Cause.ENVIRONMENT, True)
    assert stand_in.microservice.flags[TOKEN_ID, ORDER].is_stock_updated


async def test_headers_are_bounded(stand_in: StandIn, gateway: Gateway) -> None:
    stand_in.inject(Fault(effect=Effect(headers={"X-Padding": "x" * 300_000})))
    assert retry_of(await gateway.push(a_push())).is_ambiguous


async def test_a_body_without_end_is_cut_and_proves_nothing(
    stand_in: StandIn, gateway: Gateway
) -> None:
    stand_in.inject(Fault(effect=Effect(delivery=Delivery.ENDLESS)))
    retry = retry_of(await gateway.push(a_push()))
    assert (retry.cause, retry.is_ambiguous) == (Cause.OPERATION, True)


@pytest.mark.parametrize("effect", [Effect(hang_seconds=60), Effect(delivery=Delivery.DRIP)])
async def test_the_deadline_is_of_the_whole_call(stand_in: StandIn, effect: Effect) -> None:
    stand_in.inject(Fault(effect=effect))
    async with a_gateway(stand_in.url, timeout_seconds=1) as gateway:
        retry = retry_of(await gateway.push(a_push()))
    assert (retry.cause, retry.is_ambiguous) == (Cause.ENVIRONMENT, True)
    assert re.fullmatch(r"no answer from \S+ within 1 s", retry.reason)


async def test_a_cancelled_push_is_cancelled_and_leaks_no_connection(stand_in: StandIn) -> None:
    hang = Fault(effect=Effect(hang_seconds=60))
    stand_in.inject(hang)
    async with a_gateway(stand_in.url, concurrency=3) as gateway:
        for rounds in range(1, 5):  # more than there are connections
            pushes = [asyncio.create_task(gateway.push(a_push())) for _ in range(3)]
            await stand_in.until(lambda sent=3 * rounds: len(stand_in.record.received) == sent)  # type: ignore[misc]
            for push in pushes:
                push.cancel()
            ends = await asyncio.gather(*pushes, return_exceptions=True)
            assert all(isinstance(end, asyncio.CancelledError) for end in ends)
        stand_in.lift()
        assert await asyncio.gather(*(gateway.push(a_push()) for _ in range(3))) == [Done()] * 3


@pytest.mark.parametrize("cancellations", [1, 2])
async def test_a_push_cancelled_at_any_step_leaks_no_connection(
    stand_in: StandIn, cancellations: int
) -> None:
    """A deadline that an answer just misses is such a cancellation, somewhere in a clean-up."""
    async with a_gateway(stand_in.url) as gateway:
        for steps in range(40):  # a push is over after 18
            pushes = [asyncio.create_task(gateway.push(a_push(f"{n}"))) for n in range(8)]
            await steps_of_the_loop(steps)
            for _ in range(cancellations):
                for push in pushes:
                    push.cancel()
                await steps_of_the_loop(1)
            await asyncio.gather(*pushes, return_exceptions=True)
        async with asyncio.timeout(PATIENCE_SECONDS):
            pushes = [asyncio.create_task(gateway.push(a_push(f"{n}"))) for n in range(8)]
            assert await asyncio.gather(*pushes) == [Done()] * 8
        await until_connections_are(stand_in, at_most=8)
    await until_connections_are(stand_in, at_most=0)


async def steps_of_the_loop(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


# Many at once


@pytest.mark.parametrize("concurrency", [1, 8, 20])
async def test_as_many_pushes_as_asked_for_are_in_flight_and_health_beside_them(
    stand_in: StandIn, concurrency: int
) -> None:
    stand_in.inject(Fault(matches=Matches(route="stock_status"), effect=Effect(hang_seconds=60)))
    async with a_gateway(stand_in.url, concurrency=concurrency) as gateway:
        pushes = [asyncio.create_task(gateway.push(a_push(f"{n}"))) for n in range(concurrency)]
        await stand_in.until(lambda: stand_in.record.most_in_flight == concurrency)
        assert (await gateway.health()).is_healthy
        stand_in.lift()
        assert await asyncio.gather(*pushes) == [Done()] * concurrency


async def test_a_connection_that_the_service_closed_meanwhile_is_not_used() -> None:
    async with running_stand_in(idle_seconds=0.05) as stand_in, a_gateway(stand_in.url) as gateway:
        for _ in range(3):
            assert await gateway.push(a_push()) == Done()
            await until_connections_are(stand_in, at_most=0)


async def until_connections_are(stand_in: StandIn, *, at_most: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while stand_in.connections > at_most:
            await asyncio.sleep(0.005)


async def test_proxies_of_the_environment_are_none_of_ours(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    async with a_gateway(stand_in.url) as gateway:
        assert await gateway.push(a_push()) == Done()


# What goes over the wire


@pytest.mark.parametrize(
    "order_id",
    [
        "%",
        "?",
        "#",
        "+",
        ";",
        "&",
        "=",
        "'\"`",
        " a b ",
        "Заказ № 1",
        "🧾",
        "%2F",
        "%41",
        "%25",
        "..x",
        "x..",
        "...",
        "~",
        "a:b@c",
        "<>{}|^[]",
        "технология" * 50,
        "e\u0301",
        "é",
    ],
)
async def test_an_order_id_arrives_as_it_is(
    stand_in: StandIn, gateway: Gateway, order_id: str
) -> None:
    assert await gateway.push(a_push(order_id)) == Done()
    assert [received.order_id for received in stand_in.record.received] == [order_id]
    assert await gateway.read_flag(token_id=TOKEN_ID, order_id=order_id) is True
    assert list(stand_in.microservice.flags) == [(TOKEN_ID, order_id)]


async def test_a_push_goes_under_the_base_url() -> None:
    targets = []

    def answer(request: httpx.Request) -> httpx.Response:
        targets.append((request.method, request.extensions["target"], request.content))
        return httpx.Response(200, json=PROOF)

    async with a_gateway(
        "http://service:8080/inner", transport=lambda: httpx.MockTransport(answer)
    ) as gateway:
        await gateway.push(a_push())
        await gateway.push(a_push(balance=-1))
        await gateway.health()
    path = f"/inner/api/v1/orders/{ORDER}/stock-status?token_id={TOKEN_ID}".encode()
    assert targets == [
        ("PATCH", path, b'{"is_stock_updated":true}'),
        ("PATCH", path, b'{"is_stock_updated":false}'),
        ("GET", b"/inner/health", b""),
    ]


@given(
    host=st.text(f"{ascii_letters}{digits}-_.:[]%", max_size=20),
    port=st.sampled_from(["", ":1", ":65535"]),
    path=st.text(max_size=10),
)
@example(host="a..b", port="", path="")
@example(host="256.1.1.1", port="", path="")
@example(host="[::1]", port=":8000", path="")
@example(host="svc", port="", path="a//'\"%[|]\\^{}~")
def test_a_base_url_that_the_settings_take_can_be_called(host: str, port: str, path: str) -> None:
    try:
        base_url = service_base_url(f"http://{host}{port}/{path}")
    except ValueError:
        return
    called = httpx.URL(base_url)
    assert called.raw_host.decode().encode("idna")  # as the resolver does
    assert called.port == (int(port[1:]) if port else None)


async def test_a_redirect_is_not_followed() -> None:
    calls = []

    def redirect(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return httpx.Response(307, headers={"Location": "http://elsewhere/"})

    async with a_gateway("http://service", transport=lambda: httpx.MockTransport(redirect)) as g:
        await g.push(a_push())
    assert len(calls) == 1


# Credentials


async def test_a_refused_jwt_is_minted_anew_and_tried_once_more(
    stand_in: StandIn, gateway: Gateway
) -> None:
    stand_in.inject(Fault(effect=Effect(status=401, content={"detail": "expired"}), first=1))
    assert await gateway.push(a_push()) == Done()
    assert [received.status for received in stand_in.record.received] == [401, 200]


@pytest.mark.parametrize("status", [401, 403])
async def test_a_jwt_that_is_refused_twice_is_a_matter_of_credentials(
    stand_in: StandIn, gateway: Gateway, status: int
) -> None:
    stand_in.inject(Fault(effect=Effect(status=status, content={"detail": "no"})))
    retry = retry_of(await gateway.push(a_push()))
    assert (retry.cause, retry.is_ambiguous) == (Cause.CREDENTIALS, False)
    assert len(stand_in.record.received) == 2


async def test_a_second_try_that_is_refused_a_connection_was_not_sent(stand_in: StandIn) -> None:
    class Once(httpx.AsyncBaseTransport):
        is_used = False

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if self.is_used:
                raise httpx.ConnectError("refused")
            self.is_used = True
            await request.aread()
            return httpx.Response(401)

    async with a_gateway(stand_in.url, concurrency=1, transport=Once) as gateway:
        assert not retry_of(await gateway.push(a_push())).is_ambiguous


async def test_a_given_jwt_is_not_tried_twice(stand_in: StandIn) -> None:
    async with a_gateway(stand_in.url, credentials=GivenToken("a.b.c")) as gateway:
        retry = retry_of(await gateway.push(a_push()))
    assert retry.cause is Cause.CREDENTIALS
    assert len(stand_in.record.received) == 1


async def test_a_given_jwt_that_the_service_knows_passes(stand_in: StandIn) -> None:
    async with a_gateway(stand_in.url, credentials=GivenToken(minted().token())) as gateway:
        assert await gateway.push(a_push()) == Done()


def test_a_jwt_is_minted_by_the_given_clock_and_again_well_before_it_is_over() -> None:
    now = time.time()
    moments = iter([now, now + LIFETIME_SECONDS * 0.4, now + LIFETIME_SECONDS * 0.6])
    credentials = minted(lambda: next(moments))
    first, second, third = (credentials.token() for _ in range(3))
    assert user_of_jwt(first, secret=SECRET) == USER_ID
    assert first == second
    assert third != first


def test_a_clock_that_was_set_back_is_followed() -> None:
    moments = iter([time.time() + 86_400, time.time()])
    credentials = minted(lambda: next(moments))
    assert credentials.token() != credentials.token()


def test_many_calls_that_were_rejected_share_the_new_jwt() -> None:
    moments = iter([1000.0, 1010.0])
    credentials = minted(lambda: next(moments))
    rejected = credentials.token()
    assert credentials.renewed(rejected) == credentials.renewed(rejected) != rejected


@pytest.mark.parametrize("secret", ["short", "longer than thirty-two characters are"])
def test_a_secret_is_taken_at_any_length_without_a_warning(secret: str) -> None:
    credentials = MintedToken(secret=secret, user_id=USER_ID, clock=time.time)
    assert user_of_jwt(credentials.token(), secret=secret) == USER_ID


@pytest.mark.parametrize("token", ["", "a b", "a\r\nX: y", "тайна"])
def test_a_given_jwt_that_no_header_carries_is_a_settings_error(token: str) -> None:
    with pytest.raises(SettingsError):
        GivenToken(token)


@pytest.mark.parametrize(("secret", "user_id"), [("", "user"), ("secret", "")])
def test_an_empty_secret_or_user_is_a_settings_error(secret: str, user_id: str) -> None:
    with pytest.raises(SettingsError):
        MintedToken(secret=secret, user_id=user_id, clock=time.time)


# Reading a flag


async def test_a_flag_is_read_as_the_service_holds_it(stand_in: StandIn, gateway: Gateway) -> None:
    assert await gateway.read_flag(token_id=TOKEN_ID, order_id=ORDER) is False
    await gateway.push(a_push())
    assert await gateway.read_flag(token_id=TOKEN_ID, order_id=ORDER) is True
    stand_in.inject(Fault(effect=Effect(status=401, content=""), first=1))
    assert await gateway.read_flag(token_id=TOKEN_ID, order_id=ORDER) is True


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, '{"order_id": "other", "technical_flags": {"is_stock_updated": true}}'),
        (200, '{"order_id": "order-1", "technical_flags": {"is_stock_updated": 1}}'),
        (200, '{"order_id": "order-1", "technical_flags": {}}'),
        (200, '{"order_id": "order-1", "is_stock_updated": true}'),
        (200, "<html>"),
        (404, json.dumps(token_not_found(TOKEN_ID))),
        (503, '{"order_id": "order-1", "technical_flags": {"is_stock_updated": true}}'),
    ],
)
async def test_a_flag_that_cannot_be_believed_is_not_read(status: int, body: str) -> None:
    async with answering(status, body) as gateway:
        with pytest.raises(ServiceUnavailable, match=str(status)):
            await gateway.read_flag(token_id=TOKEN_ID, order_id=ORDER)


async def test_no_answer_is_no_flag(stand_in: StandIn, gateway: Gateway) -> None:
    await stand_in.stop_listening()
    with pytest.raises(ServiceUnavailable, match="no connection"):
        await gateway.read_flag(token_id=TOKEN_ID, order_id=ORDER)


# Health


@pytest.mark.parametrize(
    ("status", "body", "is_healthy", "is_database_connected"),
    [
        (200, '{"database": "connected"}', True, True),
        (200, '{"database": "disconnected"}', False, False),
        (200, '{"database": "error"}', False, False),
        (200, "{}", None, None),
        (200, "<html>", None, None),
        (404, '{"detail": "Not Found"}', None, None),
        (401, "", None, None),
        (500, "", False, None),
        (503, "", False, None),
    ],
)
async def test_health_says_what_the_service_says(
    status: int, body: str, *, is_healthy: bool | None, is_database_connected: bool | None
) -> None:
    async with answering(status, body) as gateway:
        health = await gateway.health()
    assert (health.is_healthy, health.is_database_connected) == (is_healthy, is_database_connected)
    assert health.reason


async def test_the_names_of_all_accounts_are_read_page_by_page() -> None:
    tokens = {str(uuid.UUID(int=n)): USER_ID for n in range(60)}
    strange = {str(uuid.UUID(int=99)): "another user"}
    async with (
        running_stand_in(accounts=tokens | strange) as stand_in,
        a_gateway(stand_in.url) as gateway,
    ):
        names = await gateway.accounts()
        assert names == {token: f"account-{token[:8]}" for token in tokens}
        stand_in.microservice.database = "disconnected"
        assert await gateway.accounts() == {}


async def test_a_service_that_has_ever_more_accounts_is_asked_for_so_many() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.extensions["target"])
        token = {"id": str(len(asked)), "account_name": "Ann"}
        nameless = [{"id": "x", "account_name": None}, {"id": "y"}, "z"]
        return httpx.Response(200, json={"tokens": [token, *nameless], "total": 10**9})

    async with a_gateway("http://service", transport=lambda: httpx.MockTransport(answer)) as g:
        assert len(await g.accounts()) == len(asked) == 40
    assert asked[0] == b"/api/v1/tokens/?page=1&per_page=25"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, "<html>"),
        (200, "{}"),
        (200, '{"tokens": {}, "total": 1}'),
        (401, '{"detail": "Invalid or expired token"}'),
        (500, "Internal Server Error"),
    ],
)
async def test_names_that_cannot_be_believed_are_not_read(status: int, body: str) -> None:
    async with answering(status, body) as gateway:
        with pytest.raises(ServiceUnavailable, match=str(status)):
            await gateway.accounts()


async def test_the_names_of_all_accounts_have_one_deadline() -> None:
    async def answer(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.05)  # each page is quick enough by itself
        token = {"id": "1", "account_name": "Ann"}
        return httpx.Response(200, json={"tokens": [token], "total": 10**9})

    async with a_gateway(
        "http://service", timeout_seconds=0.2, transport=lambda: httpx.MockTransport(answer)
    ) as gateway:
        with pytest.raises(ServiceUnavailable, match="took longer"):
            await gateway.accounts()


async def test_health_of_a_service_that_does_not_answer_is_bad(
    stand_in: StandIn, gateway: Gateway
) -> None:
    await stand_in.stop_listening()
    health = await gateway.health()
    assert (health.is_healthy, health.is_database_connected) == (False, None)


async def test_health_is_asked_without_credentials() -> None:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append("authorization" in request.headers)
        return httpx.Response(200, json={"database": "connected"})

    async with a_gateway("http://service", transport=lambda: httpx.MockTransport(answer)) as g:
        assert await g.health() == Health(
            is_healthy=True, is_database_connected=True, reason="database connected"
        )
    assert seen == [False]
