"""A thin HTTP/1.1 transport for httpx: one connection, one request at a time, parsed by llhttp.

httpx's own (httpcore) costs 550 µs of CPU a PATCH, this one 90, measured with the same stub and the
same gateway around it; what a daemon can push a second is little else. What it leaves out (pools,
proxies, HTTP/2, streaming, retries) the gateway does not use.
"""

import asyncio
import socket
import ssl
import time
from types import TracebackType
from typing import cast

import httptools
import httpx

LONGEST_HEAD = 64 * 1024
"""Bytes of an answer before its body."""
LONGEST_BODY = 64 * 1024
"""Bytes that are read of an answer's body; what comes after is cut off with its connection."""
_FIRST_FINAL_STATUS = 200
_PORTS = {"http": 80, "https": 443}


class Transport(httpx.AsyncBaseTransport):
    """Keeps a connection open between requests, for `keepalive_seconds` of silence.

    The request's body is asked for once the connection stands and not before: a body that was
    begun tells "perhaps applied" from "surely not sent". Nothing is sent twice. A request that
    breaks off, by an error or by cancelling, takes the connection along. Of several addresses of
    the host each gets `patience_seconds` to answer, the last one all the time that there is.
    Raises httpx.ConnectError (not sent), httpx.ReadError, httpx.RemoteProtocolError.
    """

    def __init__(
        self,
        url: httpx.URL,
        *,
        tls: ssl.SSLContext | None,
        keepalive_seconds: float,
        patience_seconds: float = 1.0,
    ) -> None:
        self._host = url.host
        self._port = url.port or _PORTS[url.scheme]
        self._tls = tls
        self._keepalive_seconds = keepalive_seconds
        self._patience_seconds = patience_seconds
        self._address = ""
        self._wire: _Wire | None = None
        self._used_at = 0.0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request (its target: the extension of that name) and read the whole answer."""
        if not self._is_open():
            await self.aclose()
            self._wire = await self._connect()
        assert self._wire is not None  # noqa: S101 - tells the type checker
        response = await self._wire.exchange(await _written(request))
        self._used_at = time.monotonic()
        return response

    async def aclose(self) -> None:
        """Close the connection."""
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.abort()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Close the connection."""
        await self.aclose()

    def _is_open(self) -> bool:
        is_fresh = time.monotonic() - self._used_at < self._keepalive_seconds
        return self._wire is not None and self._wire.is_reusable and is_fresh

    async def _connect(self) -> "_Wire":
        try:
            *others, last = await self._addresses()
            for address in others:
                try:
                    async with asyncio.timeout(self._patience_seconds):
                        return await self._connect_to(address)
                except OSError:  # a timeout is one, too
                    await self.aclose()
            return await self._connect_to(last)
        except (OSError, ssl.CertificateError) as error:
            raise httpx.ConnectError(str(error)) from error

    async def _addresses(self) -> list[str]:
        """The host's, the one that answered last first.

        asyncio's own way with several (happy eyeballs) leaves sockets behind when it is cancelled.
        """
        found = await asyncio.get_running_loop().getaddrinfo(
            self._host, self._port, type=socket.SOCK_STREAM
        )
        addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
        return sorted(addresses, key=lambda address: address != self._address)

    async def _connect_to(self, address: str) -> "_Wire":
        wire = _Wire()
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: wire,
                address,
                self._port,
                ssl=self._tls,
                server_hostname=self._host if self._tls else None,
            )
        except BaseException:
            # The loop closes what it began, a step later.
            self._wire = wire
            raise
        self._address = address
        return wire


class _Wire(asyncio.Protocol):
    """A connection and the answer that is coming in on it."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answered: asyncio.Future[None] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._is_whole = True
        self._is_kept = True
        self.lost = asyncio.Event()
        self._begin()

    @property
    def is_reusable(self) -> bool:
        """Its last answer is whole, and neither side closes it."""
        return self._is_whole and self._is_kept and not self.lost.is_set()

    async def exchange(self, request: bytes) -> httpx.Response:
        """Send, and give the answer when it is whole."""
        assert self._transport is not None  # noqa: S101 - create_connection gives it connected
        self._begin()
        self._is_whole = False
        self._answered = asyncio.get_running_loop().create_future()
        try:
            if self.lost.is_set():
                raise httpx.ReadError("the connection was closed")
            self._transport.write(request)
            await self._answered
        finally:
            self._answered = None
        return httpx.Response(
            self._status,
            headers=self._headers,
            stream=httpx.ByteStream(bytes(self._body[:LONGEST_BODY])),
        )

    async def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()
            await self.lost.wait()

    def _begin(self) -> None:
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._is_head_whole = False
        self._body = bytearray()

    # --- asyncio's calls ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are no subclass of it.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._answered is None or self._answered.done():
            # Nobody asked: it would be taken for the next answer.
            self._is_kept = False
            return
        if not self._is_head_whole:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._is_whole:
                self._fail(httpx.RemoteProtocolError(f"not HTTP/1.1: {error}"))
            self._is_kept = False
            return
        if not self._is_head_whole and self._head_bytes > LONGEST_HEAD:
            self._fail(httpx.RemoteProtocolError(f"a head of over {LONGEST_HEAD} bytes"))
        elif len(self._body) >= LONGEST_BODY and not self._is_whole:
            # Enough was read to know what it is; the rest goes with the connection.
            self._is_kept = False
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()
        if self._is_head_whole and not self._is_framed and exc is None:
            # An answer without a length ends with its connection (RFC 9112 §6.3).
            self._end()
        else:
            self._fail(httpx.ReadError(str(exc or "closed without a whole answer")))

    def _fail(self, error: httpx.TransportError) -> None:
        self._is_kept = False
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(error)

    def _end(self) -> None:
        self._is_whole = True
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)

    # --- the parser's calls -------------------------------------------------------------------

    def on_message_begin(self) -> None:
        # Another answer in the same breath: nobody asked for it.
        self._is_kept = self._is_kept and not self._is_whole

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_whole:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        if not self._is_whole:
            self._status = self._parser.get_status_code()
            self._is_head_whole = self._status >= _FIRST_FINAL_STATUS

    def on_body(self, body: bytes) -> None:
        if not self._is_whole and len(self._body) < LONGEST_BODY:
            self._body += body

    def on_message_complete(self) -> None:
        if not self._is_head_whole:
            self._begin()  # a 100 or 103: the answer is still to come
            return
        if not self._is_whole:
            self._is_kept = self._parser.should_keep_alive()
            self._end()

    @property
    def _is_framed(self) -> bool:
        return any(
            name.lower() in {b"content-length", b"transfer-encoding"} for name, _ in self._headers
        )


async def _written(request: httpx.Request) -> bytes:
    parts = [request.method.encode(), b" ", request.extensions["target"], b" HTTP/1.1\r\n"]
    for name, value in request.headers.raw:
        parts += (name, b": ", value, b"\r\n")
    parts.append(b"\r\n")
    assert isinstance(request.stream, httpx.AsyncByteStream)  # noqa: S101 - tells the type checker
    async for chunk in request.stream:
        parts.append(chunk)
    return b"".join(parts)
