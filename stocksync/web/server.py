"""The server: where it listens, and why it cannot; loaded in no time, unlike what answers."""

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import TYPE_CHECKING

from stocksync.model import SettingsError
from stocksync.web.answers import Answer
from stocksync.web.request import Request

if TYPE_CHECKING:
    from stocksync.web.connections import Connections


class Server:
    """Serves one request a connection. `port` is the real one once it has started; 0: any."""

    def __init__(
        self, serve: Callable[[Request], Awaitable[Answer]], *, host: str, port: int
    ) -> None:
        self._serve = serve
        self._host = host
        self.port = port
        self._server: asyncio.Server | None = None
        self._connections: Connections | None = None

    async def start(self) -> None:
        """Listen. Raises `SettingsError`: the port is taken, or there is no such address here."""
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._connection, self._host, self.port
            )
        except OSError as error:
            raise SettingsError(_why_not(error, self._host, self.port)) from error
        self.port = self._server.sockets[0].getsockname()[1]

    async def load(self) -> None:
        """Make ready to answer; else the first caller waits for that, and all others with it."""
        # A third of what a daemon imports, and nothing is pushed with it. In a thread: the loop
        # goes on, unless somebody asks meanwhile.
        await asyncio.to_thread(import_module, "stocksync.web.connections")

    async def close(self) -> None:
        """Stop listening; what is being answered may end within a second."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        if self._connections is not None:
            await self._connections.close()
        await server.wait_closed()

    def _connection(self) -> asyncio.Protocol:
        if self._connections is None:
            from stocksync.web.connections import Connections  # noqa: PLC0415 - see `load`

            self._connections = Connections(self._serve)
        return self._connections.new()


def _why_not(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"STOCK_SYNC_HTTP_PORT: {port} at {host} is taken by another program"
    if error.errno == errno.EACCES:
        return f"STOCK_SYNC_HTTP_PORT: {port} is not ours to take (below 1024 it needs a privilege)"
    # A name that cannot be looked up has a number of another list.
    reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
    return f"STOCK_SYNC_HTTP_HOST: cannot listen at {host}: {reason}"
