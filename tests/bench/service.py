"""A service that is never the bottleneck: says "done" at once, and writes down who asked when.

A program of its own, for any Python, with uvloop or without. It answers PATCHes
of the stock-status as MICROSERVICE.md's "Done means" wants it, and GET /health. Told a time of
service, it is one that answers a single request at a time, whatever it is asked.
What it wrote down is at /bench/record and /bench/orders; /bench/reset forgets it. Times are seconds
since 1970: this machine's clock is Postgres's too.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote

ORDER = b"/api/v1/orders/"
FLAG = b"/stock-status?"


class Book:
    """What was asked for since the last reset."""

    def __init__(self) -> None:
        self.service_seconds = 0.0
        self.reset(0.0)

    def reset(self, service_seconds: float) -> None:
        self.service_seconds = service_seconds
        self.orders: dict[str, list[float]] = {}
        self.most_in_flight = 0
        self.in_flight = 0
        self.free_at = 0.0
        self.last_at = 0.0

    def begin(self, order: str) -> None:
        now = time.time()
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        seen = self.orders.get(order)
        if seen is None:
            self.orders[order] = [1, now, now]
        else:
            seen[0] += 1
            seen[2] = now

    def end(self) -> None:
        self.in_flight -= 1
        self.last_at = time.time()

    def record(self) -> dict[str, Any]:
        return {
            "orders": len(self.orders),
            "pushes": sum(int(count) for count, _, _ in self.orders.values()),
            "twice": sum(count > 1 for count, _, _ in self.orders.values()),
            "first_at": min((first for _, first, _ in self.orders.values()), default=0.0),
            "last_at": self.last_at,
            "most_in_flight": self.most_in_flight,
            "cpu_seconds": time.process_time(),
        }


class Connection(asyncio.Protocol):
    """One client. Answers in the order of the questions."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._loop = asyncio.get_running_loop()
        self._unread = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._unread += data
        while (end := self._unread.find(b"\r\n\r\n") + 4) > 3:
            head = self._unread[:end]
            end += _content_length(head)
            if len(self._unread) < end:
                return
            body, self._unread = self._unread[len(head) : end], self._unread[end:]
            method, target, _ = head.split(b" ", 2)
            self._asked(method, target, body)

    def _asked(self, method: bytes, target: bytes, body: bytes) -> None:
        if method == b"PATCH" and target.startswith(ORDER) and FLAG in target:
            quoted = target[len(ORDER) : target.index(FLAG)]
            order = unquote(quoted.decode()) if b"%" in quoted else quoted.decode()
            self._book.begin(order)
            answer = _json(
                b'{"success":true,"order_id":%s,"is_stock_updated":%s,"updated_at":null,"message":""}'
                % (json.dumps(order).encode(), b"true" if b"true" in body else b"false")
            )
            self._in_turn(answer, self._book.service_seconds, self._book.end)
        elif target == b"/health":
            self._in_turn(_json(b'{"status":"healthy","database":"connected"}'), 0.0, None)
        elif target == b"/bench/record":
            self._send(_json(json.dumps(self._book.record()).encode()))
        elif target == b"/bench/orders":
            self._send(_json(json.dumps(self._book.orders).encode()))
        elif target.startswith(b"/bench/reset?"):
            wanted = parse_qs(target.partition(b"?")[2].decode())
            self._book.reset(float(wanted["service_seconds"][0]))
            self._send(_json(b"{}"))
        else:
            self._send(_json(b'{"detail":"Not Found"}', b"404 Not Found"))

    def _in_turn(self, answer: bytes, seconds: float, then: Callable[[], None] | None) -> None:
        """Answer when all that was asked before is answered, and so much later."""
        book = self._book
        if not book.service_seconds:
            self._answer(answer, then)
            return
        # By the clock, not by the timers' late calls: there is always exactly one being served.
        book.free_at = max(book.free_at, self._loop.time()) + seconds
        self._loop.call_at(book.free_at, self._answer, answer, then)

    def _answer(self, answer: bytes, then: Callable[[], None] | None) -> None:
        if then is not None:
            then()
        self._send(answer)

    def _send(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


def _content_length(head: bytes) -> int:
    lower = head.lower()
    at = lower.find(b"\r\ncontent-length:")
    return int(lower[at + 17 : lower.index(b"\r\n", at + 2)]) if at >= 0 else 0


def _json(body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
        status,
        len(body),
        body,
    )


async def serve() -> None:
    """Serve until stdin, which whoever started us holds, is closed; say the port first."""
    loop = asyncio.get_running_loop()
    book = Book()
    server = await loop.create_server(lambda: Connection(book), "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    try:
        import uvloop

        uvloop.run(serve())
    except ImportError:
        asyncio.run(serve())
