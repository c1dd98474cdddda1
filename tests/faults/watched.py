"""A stand-in that knows if the client of each PATCH was still there."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from aiohttp import web

from stocksync.demo.microservice import Microservice, Received, Record, StandIn
from stocksync.demo.microservice.calls import Call
from tests.faults.proxy import Link, Proxy

# A client that gives up closes its connection; the loop sees that a moment later.
GLANCE_SECONDS = 0.1

_link_of_call: ContextVar[Link | None] = ContextVar("_link_of_call", default=None)


@dataclass(frozen=True)
class Seen:
    """A PATCH, the connection that it came by, and when its client had sent it."""

    received: Received
    link: Link | None
    """None: it had ended before the PATCH was looked at."""
    sent_at: float

    def has_client(self, at: float, *, patience_seconds: float) -> bool:
        """Whether somebody was waiting for its answer then.

        One who is stopped past its deadline keeps its connection, but waits no more.
        """
        if self.link is None or at > self.sent_at + patience_seconds:
            return False
        return self.link.client_gone_at is None or self.link.client_gone_at > at


class WatchedRecord(Record):
    """Remembers by which connection each PATCH came."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Seen] = []

    @contextmanager
    def of(self, call: Call) -> Iterator[Received]:
        with super().of(call) as received:
            link = _link_of_call.get()
            self.seen.append(Seen(received, link, link.heard_at if link else 0.0))
            yield received

    def overlaps_of_the_living(self, *, patience_seconds: float) -> list[tuple[Received, Received]]:
        """Two PATCHes of one order at once, while both their clients waited for the answer.

        A client waits `patience_seconds` for one. A PATCH whose client has gone (killed, timed out,
        reset, stopped past its deadline) may run on in the service, or arrive late: nobody can call
        it back. It is harmless, because its order is ambiguous and will be verified.
        """
        by_order: dict[tuple[str, str], list[Seen]] = {}
        for each in self.seen:
            by_order.setdefault((each.received.token_id, each.received.order_id), []).append(each)
        return [
            (one.received, two.received)
            for patches in by_order.values()
            for n, one in enumerate(patches)
            for two in patches[n + 1 :]
            if (one.received.finished_at or float("inf")) > two.received.arrived_at
            and one.has_client(
                two.received.arrived_at + GLANCE_SECONDS, patience_seconds=patience_seconds
            )
            and two.has_client(two.received.arrived_at, patience_seconds=patience_seconds)
        ]


class WatchedStandIn(StandIn):
    """A stand-in behind proxies, which know who is at the other end."""

    def __init__(self, microservice: Microservice, *, service_seconds: float) -> None:
        super().__init__(microservice, service_seconds=service_seconds)
        self.record: WatchedRecord = WatchedRecord()
        self.ways: list[Proxy] = []

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        link = None
        if request.transport:
            port = request.transport.get_extra_info("peername")[1]
            links = [way.links_by_port[port] for way in self.ways if port in way.links_by_port]
            # Ports are used again, by another way perhaps: the newest is the one. It may be closed
            # already: what a client sent before it went arrives nevertheless.
            link = max(links, key=lambda link: link.opened_at)
        _link_of_call.set(link)
        return await super()._serve(request)
