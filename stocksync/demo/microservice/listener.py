"""A loopback port that can be closed and opened again, and stays ours in between."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable

from aiohttp import web

HOST = "127.0.0.1"
IDLE_SECONDS = 5.0
"""The service closes a keep-alive connection this long after its last answer."""
BACKLOG = 1024

Serve = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Listener:
    """Serves HTTP on a port while it is open; connections are refused while it is not."""

    def __init__(self, serve: Serve, *, idle_seconds: float = IDLE_SECONDS) -> None:
        self._serve = serve
        self._idle_seconds = idle_seconds
        self._reservation: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._connections: web.Server | None = None
        self._calls: set[asyncio.Task[object]] = set()

    @property
    def url(self) -> str:
        """Where it is, open or not."""
        if self._reservation is None:
            raise RuntimeError("no port was taken yet")
        return f"http://{HOST}:{self._reservation.getsockname()[1]}"

    @property
    def is_open(self) -> bool:
        """False: connections are refused."""
        return self._server is not None

    @property
    def connections(self) -> int:
        """How many connections are open, idle ones too."""
        return len(self._connections.connections) if self._connections else 0

    def take_port(self, port: int) -> None:
        """Take a port, 0 for any free one; OSError when it is taken."""
        if port:
            _refuse_taken(port)
        # Bound, but not listening: while closed, nobody else can be given the port.
        self._reservation = socket.socket()
        self._reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._reservation.bind((HOST, port))

    def give_port_back(self) -> None:
        """Let others have the port."""
        if self._reservation:
            self._reservation.close()

    async def open(self) -> None:
        """Listen; twice is once."""
        if self._server is None and self._reservation is not None:
            port = self._reservation.getsockname()[1]
            self._connections = web.Server(
                self._serve_one, access_log=None, keepalive_timeout=self._idle_seconds
            )
            self._server = await asyncio.get_running_loop().create_server(
                self._connections, HOST, port, reuse_port=True, backlog=BACKLOG
            )

    async def close(self) -> None:
        """Stop listening and end all connections, calls in flight included; twice is once."""
        server, self._server = self._server, None
        if server and self._connections:
            server.close()
            for connection in self._connections.connections:
                if connection.transport:
                    connection.transport.abort()
            # aiohttp lets a call go on whose client has gone, and forgets it: we end it.
            for call in self._calls:
                call.cancel()
            await asyncio.gather(*self._calls, return_exceptions=True)
            await self._connections.shutdown(timeout=0)
            await server.wait_closed()

    async def _serve_one(self, request: web.BaseRequest) -> web.StreamResponse:
        call = asyncio.current_task()
        assert call is not None  # noqa: S101 - tells the type checker
        self._calls.add(call)
        try:
            return await self._serve(request)
        finally:
            self._calls.discard(call)


def _refuse_taken(port: int) -> None:
    # The reservation shares its port, with our own server and with any other that shares too: a
    # second stand-in would get every other call. This one does not share.
    with socket.socket() as alone:
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            alone.bind((HOST, port))
        except OSError as error:
            raise OSError(error.errno, f"port {port}: {os.strerror(error.errno or 0)}") from error
