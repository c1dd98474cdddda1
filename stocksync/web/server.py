"""The server: connections that are few, short, and cost a push nothing. aiohttp's home."""

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web

from stocksync.model import SettingsError
from stocksync.web.answers import SECURITY_HEADERS, Answer, Refusal, refused

# Probes, Prometheus and a few people; whoever holds more open is not one of them.
MOST_CONNECTIONS = 64
# A request is here within this time, and an answer gone within that: then the line is cut.
ASKING_SECONDS = 5.0
ANSWERING_SECONDS = 20.0
# A flood of calls waits instead of taking the processor from the pushes: a call costs about 1 ms.
CALLS_A_SECOND = 100.0
CALLS_AT_ONCE = 20.0
LAST_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked, as it came over the wire."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    peer: str


Serve = Callable[[Request], Awaitable[Answer]]


class Server:
    """Serves one request a connection. `port` is the real one once it has started; 0: any."""

    def __init__(self, serve: Serve, *, host: str, port: int) -> None:
        self._serve = serve
        self._host = host
        self.port = port
        self._connections: web.Server | None = None
        self._server: asyncio.Server | None = None
        self._next_turn_at = 0.0

    async def start(self) -> None:
        """Listen. Raises `SettingsError`: the port is taken, or there is no such address here."""
        loop = asyncio.get_running_loop()
        connections = web.Server(self._answer)
        try:
            self._server = await loop.create_server(
                lambda: _Connection(connections, loop=loop, access_log=None, lingering_time=0),
                self._host,
                self.port,
            )
        except OSError as error:
            raise SettingsError(_why_not(error, self._host, self.port)) from error
        self._connections = connections
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening; what is being answered may end within a second."""
        server, self._server = self._server, None
        if server is None or self._connections is None:
            return
        server.close()
        await self._connections.shutdown(LAST_SECONDS)
        await server.wait_closed()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        if isinstance(connection, _Connection):
            connection.is_asked()
        await self._turn()
        try:
            _check_body(request)
            path, _, query = request.raw_path.partition("?")
            given = await self._serve(
                Request(
                    method=request.method,
                    path=path,
                    query=query,
                    headers=request.headers,
                    peer=request.remote or "",
                )
            )
        except Refusal as refusal:
            given = refused(refusal)
        return _response(given)

    async def _turn(self) -> None:
        """Wait for this call's turn; some may go at once, then one every hundredth of a second."""
        now = asyncio.get_running_loop().time()
        step_seconds = 1 / CALLS_A_SECOND
        self._next_turn_at = max(self._next_turn_at, now - CALLS_AT_ONCE * step_seconds)
        self._next_turn_at += step_seconds
        if self._next_turn_at > now:
            await asyncio.sleep(self._next_turn_at - now)


class _Connection(web.RequestHandler):
    """One connection, on a deadline, for one request."""

    def __init__(
        self,
        connections: web.Server,
        *,
        loop: asyncio.AbstractEventLoop,
        access_log: None,
        lingering_time: float,
    ) -> None:
        super().__init__(
            connections,
            loop=loop,
            access_log=access_log,  # type: ignore[arg-type] # None is "no log", in its own words
            lingering_time=lingering_time,
        )
        self._open = connections
        self._clock = loop
        self._cut: asyncio.TimerHandle | None = None
        self.is_silent = True
        """It has not asked yet, and may be cut off for who will."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin its short life; when there are too many, another one's ends, or its own."""
        super().connection_made(transport)
        self._cut = self._clock.call_later(ASKING_SECONDS, self.abort)
        if len(self._open.connections) > MOST_CONNECTIONS:
            # The oldest first; at last this one itself. Whoever says nothing is not to keep out who
            # would ask whether the process lives: it would be restarted.
            next(each for each in self._all() if each.is_silent).abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """It is over."""
        if self._cut is not None:
            self._cut.cancel()
        super().connection_lost(exc)

    def is_asked(self) -> None:
        """The request is here: now the answer has its time."""
        self.is_silent = False
        if self._cut is not None:
            self._cut.cancel()
            self._cut = self._clock.call_later(ANSWERING_SECONDS, self.abort)

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002 - aiohttp's own signature
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002
        message: str | None = None,  # noqa: ARG002 - it repeats what was sent
    ) -> web.StreamResponse:
        """Answer what is no HTTP; a line in the log for each would be the sender's to write."""
        return _response(refused(Refusal(HTTPStatus(status), "this is no HTTP request")))

    def _all(self) -> Iterator["_Connection"]:
        return (each for each in self._open.connections if isinstance(each, _Connection))

    def abort(self) -> None:
        """End it, whatever it is at."""
        # It stays among the connections for a moment, and cannot make room twice.
        self.is_silent = False
        if isinstance(self.transport, asyncio.Transport):
            self.transport.abort()


def _check_body(request: web.BaseRequest) -> None:
    # Not passed over, however small: what it says would be taken for nothing.
    if request.can_read_body:
        raise Refusal(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "no call takes a body: parameters are in the URL"
        )


def _response(given: Answer) -> web.Response:
    response = web.Response(
        body=given.body,
        status=given.status,
        headers={
            **SECURITY_HEADERS,
            **given.headers,
            "Content-Type": _content_type(given.content_type),
        },
    )
    response.force_close()
    return response


def _content_type(kind: str) -> str:
    return kind if "charset" in kind else f"{kind}; charset=utf-8"


def _why_not(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"STOCK_SYNC_HTTP_PORT: {port} at {host} is taken by another program"
    if error.errno == errno.EACCES:
        return f"STOCK_SYNC_HTTP_PORT: {port} is not ours to take (below 1024 it needs a privilege)"
    # A name that cannot be looked up has a number of another list.
    reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
    return f"STOCK_SYNC_HTTP_HOST: cannot listen at {host}: {reason}"
