"""One call of the microservice: one deadline, bounded, and a failure that says if it was sent."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from types import TracebackType
from typing import Self
from urllib.parse import quote

import httpx

from stocksync import __version__
from stocksync.gateway.answers import (
    Answer,
    Health,
    accounts_of,
    flag_of,
    health_of,
    outcome_of,
    presentable,
)
from stocksync.gateway.credentials import Credentials
from stocksync.gateway.transport import LONGEST_BODY, Transport
from stocksync.model import Cause, Outcome, Push, Retry, ServiceUnavailable

CONNECTIONS_BESIDE_PUSHES = 4
"""For /health and the reading of flags, which never wait until a push is over."""
KEEPALIVE_SECONDS = 4.0
"""The service closes idle connections after 5: never send into one that is just being closed."""

ACCOUNTS_A_PAGE = 25
"""The service takes 100; so many fit into what is read of an answer, whatever it says of each."""
MOST_PAGES = 40
"""A thousand accounts: of more, some are called by their token."""

_CREDENTIALS_REFUSED = (401, 403)
_NOTHING = b""
_FLAG = {True: b'{"is_stock_updated":true}', False: b'{"is_stock_updated":false}'}


@dataclass(frozen=True, slots=True, kw_only=True)
class NoAnswer:
    """Nothing came back, or not the whole of it."""

    reason: str
    was_sent: bool
    """The service may have all it needs to act on it."""


class Gateway:
    """The microservice at `base_url`; `timeout_seconds` bounds a whole call, whatever is in it.

    `base_url` is what /api/v1 and /health follow, as the settings check and normalise it.
    `concurrency` is how many pushes run at once; reads beside them have room too. Nothing is tried
    twice but refused credentials: what cannot be reached now cannot be a millisecond later, and
    waiting longer would be waiting inside a lease; outbox and circuit wait better.
    `clock` gives the database's time, seconds since 1970: a host's own may be wrong. `transport` is
    the seam for tests.
    """

    def __init__(
        self,
        *,
        base_url: str,
        credentials: Credentials,
        timeout_seconds: float,
        concurrency: int,
        clock: Callable[[], float] = time.time,
        transport: Callable[[], httpx.AsyncBaseTransport] | None = None,
    ) -> None:
        self._url = httpx.URL(base_url)
        self.base_url = base_url
        self._path = self._url.raw_path.decode().rstrip("/")
        self._credentials = credentials
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        make = transport or _transports(self._url, timeout_seconds)
        count = concurrency + CONNECTIONS_BESIDE_PUSHES
        self._connections = [_Connection(make) for _ in range(count)]
        # The one used last comes first: it is the likeliest to be open still.
        self._idle = asyncio.LifoQueue[_Connection]()
        for connection in self._connections:
            self._idle.put_nowait(connection)
        self._headers = lru_cache(maxsize=4)(self._make_headers)

    async def __aenter__(self) -> Self:
        """Give itself: connections are opened as they are needed."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close all connections."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections; calls that wait for an answer break off."""
        for connection in self._connections:
            await connection.close()

    async def push(self, push: Push) -> Outcome:
        """PATCH the order's flag and say what became of it (README: "Failures")."""
        target = self._order_path(push.token_id, push.order_id, "stock-status")
        answer = await self._call("PATCH", target, _FLAG[push.flag])
        if isinstance(answer, NoAnswer):
            return Retry(
                reason=answer.reason, cause=Cause.ENVIRONMENT, is_ambiguous=answer.was_sent
            )
        return outcome_of(
            answer,
            order_id=push.order_id,
            flag=push.flag,
            secrets=self._credentials.secrets,
            now=datetime.fromtimestamp(self._clock(), UTC),
        )

    async def read_flag(self, *, token_id: str, order_id: str) -> bool:
        """Read the flag that the service holds; one that it has no row for is made, and False.

        Raises ServiceUnavailable when the answer, or its absence, cannot be believed.
        """
        answer = await self._call("GET", self._order_path(token_id, order_id, "technical-flags"))
        if isinstance(answer, NoAnswer):
            raise ServiceUnavailable(answer.reason)
        return flag_of(answer, order_id=order_id, secrets=self._credentials.secrets)

    async def accounts(self) -> dict[str, str]:
        """Read the names of the accounts, by their tokens; one deadline for all pages.

        Raises ServiceUnavailable. With its database down the service answers that there are none.
        """
        names: dict[str, str] = {}
        try:
            async with asyncio.timeout(self._timeout_seconds):
                for page in range(1, MOST_PAGES + 1):
                    target = f"{self._path}/api/v1/tokens/?page={page}&per_page={ACCOUNTS_A_PAGE}"
                    answer = await self._call("GET", target)
                    if isinstance(answer, NoAnswer):
                        raise ServiceUnavailable(answer.reason)
                    found, total = accounts_of(answer, secrets=self._credentials.secrets)
                    names |= found
                    if not found or page * ACCOUNTS_A_PAGE >= total:
                        break
        except TimeoutError as error:
            raise ServiceUnavailable(
                f"the accounts took longer than {self._timeout_seconds:g} s"
            ) from error
        return names

    async def health(self) -> Health:
        """Ask the service how it is; never raises for what the service does or does not."""
        answer = await self._call("GET", f"{self._path}/health", is_authorised=False)
        if isinstance(answer, NoAnswer):
            return Health(is_healthy=False, is_database_connected=None, reason=answer.reason)
        return health_of(answer, secrets=self._credentials.secrets)

    def _order_path(self, token_id: str, order_id: str, of: str) -> str:
        order, token = quote(order_id, safe=""), quote(token_id, safe="")
        return f"{self._path}/api/v1/orders/{order}/{of}?token_id={token}"

    async def _call(
        self, method: str, target: str, content: bytes = _NOTHING, *, is_authorised: bool = True
    ) -> Answer | NoAnswer:
        body = _Body(content)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                if not is_authorised:
                    return await self._send(method, target, body, token="")
                token = self._credentials.token()
                answer = await self._send(method, target, body, token=token)
                if answer.status in _CREDENTIALS_REFUSED:
                    other = self._credentials.renewed(token)
                    if other is not None:
                        body.is_begun = False  # answered: only the second try is open now
                        answer = await self._send(method, target, body, token=other)
                return answer
        except TimeoutError:
            what = f"within {self._timeout_seconds:g} s"
        except (httpx.HTTPError, OSError) as error:
            what = f"({type(error).__name__}: {error})".replace(": )", ")")
        found = "no answer from" if body.is_begun else "no connection to"
        reason = f"{found} {self._url.netloc.decode()} {what}"
        return NoAnswer(
            reason=presentable(reason, secrets=self._credentials.secrets), was_sent=body.is_begun
        )

    async def _send(self, method: str, target: str, body: "_Body", *, token: str) -> Answer:
        # The target goes out as it is: httpx would parse and rewrite a URL once more, for 25 µs.
        request = httpx.Request(
            method,
            self._url,
            headers=self._headers(token, len(body.content)),
            stream=body,
            extensions={"target": target.encode()},
        )
        connection = await self._idle.get()
        try:
            return await connection.send(request)
        finally:
            self._idle.put_nowait(connection)

    def _make_headers(self, token: str, content_length: int) -> httpx.Headers:
        headers = {
            "Host": self._url.netloc.decode(),
            "User-Agent": f"stocksync/{__version__}",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        }
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if content_length:
            headers["Content-Type"] = "application/json"
            headers["Content-Length"] = str(content_length)
        return httpx.Headers(headers)


class _Body(httpx.AsyncByteStream):
    """A request's body that knows if it was begun; before that, the service cannot act on it.

    It tells "surely not sent" from "perhaps applied" exactly: the transport asks for it when it is
    connected, whatever fails before or after that.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.is_begun = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.is_begun = True
        yield self.content


class _Connection:
    """One connection, opened when a call needs it, for one call at a time.

    An httpx client around it would add redirects, cookies, proxies of the environment and logged
    URLs: nothing that is wanted here.
    """

    def __init__(self, make: Callable[[], httpx.AsyncBaseTransport]) -> None:
        self._make = make
        self._transport = make()

    async def send(self, request: httpx.Request) -> Answer:
        try:
            response = await self._transport.handle_async_request(request)
            body = await _read(response)
            await response.aclose()
        except BaseException:
            await self.close()
            raise
        return Answer(status=response.status_code, headers=response.headers, body=body)

    async def close(self) -> None:
        """Close what is open; the next call opens anew."""
        transport, self._transport = self._transport, self._make()
        await transport.aclose()


async def _read(response: httpx.Response) -> bytes:
    assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101 - tells the type checker
    body = bytearray()
    # As it comes: what is compressed although nobody asked for it proves nothing.
    async for chunk in response.stream:
        body += chunk
        if len(body) >= LONGEST_BODY:
            break
    return bytes(body[:LONGEST_BODY])


def _transports(url: httpx.URL, timeout_seconds: float) -> Callable[[], httpx.AsyncBaseTransport]:
    # Made once, not for each connection: reading the certificates takes tens of milliseconds.
    # It honours SSL_CERT_FILE, for a service with a certificate of the house.
    tls = httpx.create_ssl_context() if url.scheme == "https" else None
    return lambda: Transport(
        url,
        tls=tls,
        keepalive_seconds=KEEPALIVE_SECONDS,
        # Several addresses fit into a call.
        patience_seconds=min(1.0, timeout_seconds / 4),
    )
