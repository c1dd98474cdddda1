"""The transport: whatever a server says or does, an answer is whole, bounded, and its own."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from stocksync.gateway.transport import LONGEST_BODY, Transport

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Server:
    """Says what it is told to, and counts its connections."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.connections = 0
        self.requests: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._script(_Noting(reader, self.requests), writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has gone
        finally:
            writer.close()


class _Noting(asyncio.StreamReader):
    """A reader that notes the heads of requests."""

    def __init__(self, reader: asyncio.StreamReader, requests: list[bytes]) -> None:
        self._reader = reader
        self._requests = requests

    async def readuntil(self, separator: bytes = b"\r\n\r\n") -> bytes:  # type: ignore[override] # of bytes alone
        head = await self._reader.readuntil(separator)
        self._requests.append(head)
        return head

    async def read(self, n: int = -1) -> bytes:
        return await self._reader.read(n)


@asynccontextmanager
async def served(script: Script, **settings: float) -> AsyncIterator[tuple[Transport, Server]]:
    server = Server(script)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    host, port = listening.sockets[0].getsockname()
    keepalive_seconds = settings.get("keepalive_seconds", 60.0)
    transport = Transport(
        httpx.URL(f"http://{host}:{port}"), tls=None, keepalive_seconds=keepalive_seconds
    )
    try:
        yield transport, server
    finally:
        await transport.aclose()
        listening.close()
        await listening.wait_closed()


def saying(*answers: bytes, then_close: bool = False) -> Script:
    """Give these answers, one for each request of a connection, the last again and again."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = list(answers)
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(left.pop(0) if len(left) > 1 else left[0])
            await writer.drain()
            if then_close:
                return

    return script


async def asked(transport: Transport) -> tuple[int, bytes]:
    async with asyncio.timeout(10):
        request = httpx.Request("GET", "http://it/", extensions={"target": b"/path?a=%2F"})
        response = await transport.handle_async_request(request)
        return response.status_code, await response.aread()


async def test_a_connection_is_used_again() -> None:
    async with served(saying(OK)) as (transport, server):
        assert [await asked(transport) for _ in range(3)] == [(200, b"ok")] * 3
    assert server.connections == 1
    assert server.requests[0].startswith(b"GET /path?a=%2F HTTP/1.1\r\n")
    assert b"Host: it\r\n" in server.requests[0]


async def test_a_connection_that_was_silent_too_long_is_not_used_again() -> None:
    async with served(saying(OK), keepalive_seconds=0) as (transport, server):
        assert [await asked(transport) for _ in range(2)] == [(200, b"ok")] * 2
    assert server.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        OK + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        OK + b"\x00",
    ],
    ids=["it is closed", "HTTP/1.0", "an answer that nobody asked for", "garbage behind it"],
)
async def test_what_comes_after_an_answer_is_never_taken_for_the_next(answer: bytes) -> None:
    async with served(saying(answer)) as (transport, server):
        assert [await asked(transport) for _ in range(2)] == [(200, b"ok")] * 2
    assert server.connections == 2


async def test_an_answer_before_the_question_is_not_taken_for_it() -> None:
    is_answered = asyncio.Event()

    async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        if not is_answered.is_set():
            await is_answered.wait()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
        await reader.read()

    async with served(hasty) as (transport, server):
        assert await asked(transport) == (200, b"ok")
        wire = transport._wire
        assert wire is not None
        assert wire.is_reusable
        is_answered.set()
        async with asyncio.timeout(10):
            while wire.is_reusable:
                await asyncio.sleep(0.005)
        assert await asked(transport) == (200, b"ok")
    assert server.connections == 2


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
            b"ok",
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 500 X\r\nCONTENT-LENGTH:2\r\nx:\r\n\r\nok", b"ok"),
    ],
    ids=["chunked", "with interim answers before it", "without a body", "oddly written"],
)
async def test_an_answer_in_any_form_is_read(answer: bytes, body: bytes) -> None:
    async with served(saying(answer)) as (transport, server):
        assert [(await asked(transport))[1] for _ in range(2)] == [body] * 2
    assert server.connections == 1


async def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    script = saying(b"HTTP/1.1 200 OK\r\n\r\nuntil the end", then_close=True)
    async with served(script) as (transport, server):
        assert [await asked(transport) for _ in range(2)] == [(200, b"until the end")] * 2
    assert server.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhalf",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"220 mail.example ESMTP\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000 + b"\r\n\r\n",
    ],
    ids=[
        "none",
        "half of it",
        "half of a chunk",
        "half of a head",
        "only an interim one",
        "another protocol",
        "two lengths",
        "an upgrade",
        "an endless head",
    ],
)
async def test_what_is_no_whole_answer_is_an_error_and_the_next_call_connects_anew(
    answer: bytes,
) -> None:
    async with served(saying(answer, then_close=True)) as (transport, server):
        for _ in range(2):
            with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
                await asked(transport)
    assert server.connections == 2


async def test_a_body_without_end_is_cut() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n")
        while True:
            writer.write(b"x" * 10_000)
            await writer.drain()

    async with served(endless) as (transport, server):
        assert [await asked(transport) for _ in range(2)] == [(200, b"x" * LONGEST_BODY)] * 2
    assert server.connections == 2


async def test_a_request_that_is_broken_off_takes_its_connection_along() -> None:
    has_asked = asyncio.Event()

    async def silent_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if not has_asked.is_set():
            has_asked.set()
            await reader.read()
            return
        writer.write(OK)
        await writer.drain()

    async with served(silent_once) as (transport, server):
        asking = asyncio.create_task(asked(transport))
        await has_asked.wait()
        asking.cancel()
        await asyncio.wait([asking])
        assert await asked(transport) == (200, b"ok")
    assert server.connections == 2


async def test_nobody_there_is_a_connection_error() -> None:
    listening = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    listening.close()
    await listening.wait_closed()
    url = httpx.URL(f"http://127.0.0.1:{port}")
    transport = Transport(url, tls=None, keepalive_seconds=4)
    with pytest.raises(httpx.ConnectError):
        await asked(transport)
    await transport.aclose()


async def test_an_address_that_does_not_answer_does_not_hide_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An IPv6 address that swallows all, or a dead machine of several behind one name."""
    async with served(saying(OK)) as (transport, server):
        with socket.socket() as swallowing:
            swallowing.bind(("127.0.0.2", transport._port))
            swallowing.listen(0)
            full = [_connecting("127.0.0.2", transport._port) for _ in range(4)]
            found = [(0, 0, 0, "", (host, transport._port)) for host in ("127.0.0.2", "127.0.0.1")]

            async def resolved(*_: object, **__: object) -> list[tuple[object, ...]]:
                return list(found)

            monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolved)
            transport._patience_seconds = 0.2
            assert [await asked(transport) for _ in range(2)] == [(200, b"ok")] * 2
            # And it is remembered.
            await transport.aclose()
            transport._patience_seconds = 60
            assert await asked(transport) == (200, b"ok")
            for each in full:
                each.close()
    assert server.connections == 2


def _connecting(host: str, port: int) -> socket.socket:
    """A connection that fills the listener's queue."""
    sock = socket.socket()
    sock.setblocking(False)  # noqa: FBT003 - the library's own
    sock.connect_ex((host, port))
    return sock
