"""Connections that are few, short, and cost a push nothing. aiohttp's home."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from http import HTTPStatus

from aiohttp import web

from stocksync.web.answers import SECURITY_HEADERS, Answer, Refusal, refused
from stocksync.web.request import Request

# Probes, Prometheus and a few people; whoever holds more open is not one of them.
MOST_CONNECTIONS = 64
# A request is here within this time, and an answer gone within that: then the line is cut.
ASKING_SECONDS = 5.0
ANSWERING_SECONDS = 20.0
# A flood of calls waits instead of taking the processor from the pushes: a call costs about 1 ms.
CALLS_A_SECOND = 100.0
CALLS_AT_ONCE = 20.0
LAST_SECONDS = 1.0


class Connections:
    """Those that are open; each asks once, and `serve` answers."""

    def __init__(self, serve: Callable[[Request], Awaitable[Answer]]) -> None:
        self._serve = serve
        self._open = web.Server(self._answer)
        self._next_turn_at = 0.0

    def new(self) -> asyncio.Protocol:
        """Somebody has come."""
        return _Connection(
            self._open, loop=asyncio.get_running_loop(), access_log=None, lingering_time=0
        )

    async def close(self) -> None:
        """End them; what is being answered may end within a second."""
        await self._open.shutdown(LAST_SECONDS)

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
