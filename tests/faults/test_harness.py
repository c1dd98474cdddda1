"""The tools of these tests do what they say: a fault that is none would prove nothing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

import pytest

from stocksync.demo.microservice import Effect, Fault, Microservice
from tests.faults.proxy import HOST, Proxy, proxy_to
from tests.faults.watched import WatchedStandIn
from tests.relaying import PATIENCE_SECONDS, until
from tests.service import SECRET, TOKEN_ID, USER_ID

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[Proxy], Awaitable[Ends]]
PATCH = (
    f"PATCH /api/v1/orders/order/stock-status?token_id={TOKEN_ID} HTTP/1.1\r\n"
    "Host: x\r\nContent-Length: 0\r\n\r\n"
).encode()


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Opens connections by way of a proxy, which are closed at the end."""
    writers = []

    async def connect(way: Proxy) -> Ends:
        ends = await asyncio.wait_for(asyncio.open_connection(HOST, way.port), 1)
        writers.append(ends[1])
        return ends

    yield connect
    for writer in writers:
        writer.transport.abort()


@pytest.fixture
async def way() -> AsyncIterator[Proxy]:
    """A way to a server that says everything back."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while said := await reader.read(1000):
                writer.write(said)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, HOST, 0)
    async with proxy_to(server.sockets[0].getsockname()[1]) as proxy:
        yield proxy
    server.close()


async def says_back(ends: Ends) -> bool:
    reader, writer = ends
    writer.write(b"x")
    try:
        return await asyncio.wait_for(reader.readexactly(1), 0.3) == b"x"
    except TimeoutError:
        return False


async def test_a_frozen_way_carries_nothing_until_it_thaws(way: Proxy, connect: Connect) -> None:
    ends = await connect(way)
    assert await says_back(ends)
    way.freeze()
    assert not await says_back(ends)
    assert not await says_back(await connect(way))
    way.thaw()
    assert await ends[0].readexactly(1) == b"x"


async def test_a_half_open_connection_is_dead_and_a_new_one_is_sound(
    way: Proxy, connect: Connect
) -> None:
    ends = await connect(way)
    assert await says_back(ends)
    way.half_open()
    assert not await says_back(ends)
    assert await says_back(await connect(way))


async def test_a_black_hole_answers_nobody_and_a_refusal_comes_at_once(
    way: Proxy, connect: Connect
) -> None:
    way.black_hole()
    with pytest.raises(TimeoutError):
        await connect(way)
    way.refuse()
    with pytest.raises(ConnectionRefusedError):
        await connect(way)
    await way.listen()
    assert await says_back(await connect(way))


async def test_a_reset_is_one(way: Proxy, connect: Connect) -> None:
    ends = await connect(way)
    assert await says_back(ends)
    way.reset()
    with pytest.raises(ConnectionResetError):
        await ends[0].readexactly(1)


@pytest.mark.parametrize("is_first_client_there", [True, False])
async def test_two_calls_of_one_order_count_only_while_both_clients_wait(
    connect: Connect, *, is_first_client_there: bool
) -> None:
    microservice = Microservice(secret=SECRET, accounts={TOKEN_ID: USER_ID})
    stand_in = WatchedStandIn(microservice, service_seconds=0)
    await stand_in.start()
    async with proxy_to(urlsplit(stand_in.url).port or 0) as way:
        stand_in.ways = [way]
        stand_in.inject(Fault(effect=Effect(hang_seconds=600)))
        _, first = await connect(way)
        first.write(PATCH)
        await until(lambda: len(stand_in.record.seen) == 1)
        if not is_first_client_there:
            first.transport.abort()
            [link] = way.links_by_port.values()
            await until(lambda: link.client_gone_at is not None)
        _, second = await connect(way)
        second.write(PATCH)
        await until(lambda: len(stand_in.record.seen) == 2)
        assert len(stand_in.record.overlaps) == 1
        living = stand_in.record.overlaps_of_the_living(patience_seconds=PATIENCE_SECONDS)
        assert len(living) == int(is_first_client_there)
        # Whoever waits no longer than that has given up, connected or not.
        assert stand_in.record.overlaps_of_the_living(patience_seconds=0) == []
    await stand_in.aclose()


async def test_a_call_held_back_until_its_client_has_gone_is_nobodys(connect: Connect) -> None:
    microservice = Microservice(secret=SECRET, accounts={TOKEN_ID: USER_ID})
    stand_in = WatchedStandIn(microservice, service_seconds=0)
    await stand_in.start()
    async with proxy_to(urlsplit(stand_in.url).port or 0) as way:
        stand_in.ways = [way]
        _, early = await connect(way)
        await until(lambda: len(way.links_by_port) == 1)
        [link] = way.links_by_port.values()
        way.freeze()
        early.write(PATCH)
        early.transport.close()
        await until(lambda: link.client_gone_at is not None)
        stand_in.inject(Fault(effect=Effect(hang_seconds=600)))
        way.thaw()
        await until(lambda: len(stand_in.record.seen) == 1)
        _, late = await connect(way)
        late.write(PATCH)
        await until(lambda: len(stand_in.record.seen) == 2)
        assert len(stand_in.record.overlaps) == 1
        assert stand_in.record.overlaps_of_the_living(patience_seconds=PATIENCE_SECONDS) == []
    await stand_in.aclose()
