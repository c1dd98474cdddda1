"""A TCP proxy that misbehaves on demand, between a daemon and Postgres or the stand-in.

It runs in the test's own loop, so that what it sees and what the stand-in sees are in one order.
"""

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

HOST = "127.0.0.1"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time
# A black hole's queue of one is full with one connection; a second one makes sure.
_QUEUE_FILLERS = 2


class Link:
    """One connection through the proxy: a client's leg and a server's leg."""

    def __init__(self, proxy: "Proxy") -> None:
        self.proxy = proxy
        self.client_gone_at: float | None = None
        """When the client closed its end, by the monotonic clock; None: it is there."""
        self.opened_at = 0.0
        """When the server was reached."""
        self.heard_at = 0.0
        """When the client last said something; it may be held back here since."""
        self.is_dead = False
        """Half-open for ever: it stays, and carries nothing any more."""
        self.legs: list[_Leg] = []
        self.pumps: list[asyncio.Task[None]] = []

    async def open(self, client: "_Leg") -> None:
        """Connect the server's leg, and carry bytes both ways."""
        server = _Leg(self, is_client=False)
        self.legs.append(server)
        loop = asyncio.get_running_loop()
        try:
            await self.proxy.flow()
            transport, _ = await loop.create_connection(
                lambda: server, HOST, self.proxy.upstream_port
            )
        except OSError:
            client.reset()
            return
        self.opened_at = time.monotonic()
        self.proxy.links_by_port[transport.get_extra_info("sockname")[1]] = self
        self.pumps += [
            asyncio.create_task(self._pump(client, server)),
            asyncio.create_task(self._pump(server, client)),
        ]

    async def _pump(self, source: "_Leg", sink: "_Leg") -> None:
        while (chunk := await source.arrived.get()) is not None:
            if self.proxy.latency_seconds:
                await asyncio.sleep(self.proxy.latency_seconds)
            for piece in self._pieces(chunk):
                await self.proxy.flow()
                if self.is_dead:
                    await asyncio.Event().wait()
                sink.write(piece)
                if self.proxy.drip_seconds:
                    await asyncio.sleep(self.proxy.drip_seconds)
            is_last = bool(self.proxy.last_words) and self.proxy.last_words in chunk
            if is_last and source.is_client:
                self.proxy.freeze()
        await self.proxy.flow()
        if not self.is_dead:
            sink.close()

    def _pieces(self, chunk: bytes) -> list[bytes]:
        return [bytes([byte]) for byte in chunk] if self.proxy.drip_seconds else [chunk]

    def reset(self) -> None:
        """End both legs with a reset."""
        for pump in self.pumps:
            pump.cancel()
        for leg in self.legs:
            leg.reset()


class _Leg(asyncio.Protocol):
    def __init__(self, link: Link, *, is_client: bool) -> None:
        self._link = link
        self.is_client = is_client
        self._transport: asyncio.Transport | None = None
        self.arrived: asyncio.Queue[bytes | None] = asyncio.Queue()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self.is_client:
            self._link.pumps.append(asyncio.create_task(self._link.open(self)))

    def data_received(self, data: bytes) -> None:
        if self.is_client:
            self._link.heard_at = time.monotonic()
        self.arrived.put_nowait(data)

    def eof_received(self) -> bool:
        self._ended()
        return True

    def connection_lost(self, _error: Exception | None) -> None:
        self._ended()

    def _ended(self) -> None:
        if self.is_client and self._link.client_gone_at is None:
            self._link.client_gone_at = time.monotonic()
        self.arrived.put_nowait(None)

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            connection: socket.socket = self._transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self._transport.abort()


class Proxy:
    """Listens on a free loopback port and passes on to `upstream_port`; the port stays its own."""

    def __init__(self, *, upstream_port: int) -> None:
        self.upstream_port = upstream_port
        self.latency_seconds = 0.0
        """Before each chunk, one way."""
        self.drip_seconds = 0.0
        """Between two bytes; 0: as they come."""
        self.last_words = b""
        """When a client has said this, and the server heard it, the proxy freezes; empty: never."""
        self.accepted = 0
        """Connections so far."""
        self.links_by_port: dict[int, Link] = {}
        """By the port that the server sees as the client's, those that have ended too."""
        self._links: list[Link] = []
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self._hole: list[socket.socket] = []
        self._reservation = _bound(0)
        self.port: int = self._reservation.getsockname()[1]

    async def listen(self) -> None:
        """Take connections, for the first time or again."""
        self._close_hole()
        if self._server is None:
            self._server = await asyncio.get_running_loop().create_server(
                partial(self._leg_of_client), HOST, self.port, reuse_port=True, backlog=256
            )

    def refuse(self) -> None:
        """Reset all connections and refuse new ones."""
        self._close_hole()
        self._close_server()
        self.reset()

    def black_hole(self) -> None:
        """Answer nobody who wants to connect, as behind a firewall; those connected stay."""
        self._close_server()
        hole = _bound(self.port)
        hole.listen(0)
        self._hole = [hole]
        for _ in range(_QUEUE_FILLERS):
            filler = socket.socket()
            filler.settimeout(0)
            with contextlib.suppress(BlockingIOError):
                filler.connect((HOST, self.port))
            self._hole.append(filler)

    def reset(self) -> None:
        """Reset all connections; new ones are welcome."""
        links, self._links = self._links, []
        for link in links:
            link.reset()

    def freeze(self) -> None:
        """Carry nothing and end nothing, on all connections and on new ones, until `thaw`."""
        self._flowing.clear()

    @property
    def is_frozen(self) -> bool:
        """Nothing is carried now."""
        return not self._flowing.is_set()

    def thaw(self) -> None:
        """Carry on, with what was held back, also of clients that have gone."""
        self._flowing.set()

    def half_open(self) -> None:
        """Let the present connections carry nothing, for ever; new ones are sound."""
        links, self._links = self._links, []
        for link in links:
            link.is_dead = True

    async def flow(self) -> None:
        """Wait until bytes are carried."""
        await self._flowing.wait()

    def close(self) -> None:
        """End everything."""
        self.refuse()
        for link in self.links_by_port.values():
            link.reset()
        self._reservation.close()

    def _leg_of_client(self) -> _Leg:
        self.accepted += 1
        link = Link(self)
        self._links.append(link)
        leg = _Leg(link, is_client=True)
        link.legs.append(leg)
        return leg

    def _close_server(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()

    def _close_hole(self) -> None:
        hole, self._hole = self._hole, []
        for each in hole:
            each.close()


def _bound(port: int) -> socket.socket:
    """Bound, but not listening: nobody else can be given the port, and connecting is refused."""
    reservation = socket.socket()
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reservation.bind((HOST, port))
    return reservation


@asynccontextmanager
async def proxy_to(port: int) -> AsyncIterator[Proxy]:
    """Run a proxy in front of this port of the loopback."""
    proxy = Proxy(upstream_port=port)
    await proxy.listen()
    try:
        yield proxy
    finally:
        proxy.close()
        # Aborted transports close their sockets in the loop's next round.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
