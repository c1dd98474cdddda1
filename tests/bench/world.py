"""The world of a benchmark: Postgres, the service, the peers, and a contestant at work in it."""

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx

from tests.bench.contestants import CONCURRENCY, Contestant
from tests.bench.peers_venv import Peers
from tests.bench.postgres import Postgres, connected
from tests.bench.processes import ROOT, Measured, running

PATIENCE_SECONDS = 300.0
# A daemon that is busy neither with rows nor with beginning uses less than this a second.
IDLE_SHARE = 0.1


class NotVerified(Exception):
    """A run that did not do its work: no figure counts then."""


class Service:
    """The service's process, seen from outside."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx.Client(base_url=url, timeout=30, trust_env=False)

    def reset(self, *, service_seconds: float = 0.0) -> None:
        """Forget everything; from now on one request at a time takes so long (0: no time)."""
        self._client.get(f"/bench/reset?service_seconds={service_seconds}").raise_for_status()

    def record(self) -> dict[str, Any]:
        """What was asked for, in numbers."""
        record: dict[str, Any] = self._client.get("/bench/record").json()
        return record

    def orders(self) -> dict[str, list[float]]:
        """By order: how often it was pushed, and when first and last."""
        orders: dict[str, list[float]] = self._client.get("/bench/orders").json()
        return orders

    def close(self) -> None:
        self._client.close()


@contextmanager
def running_service(python: str) -> Iterator[Service]:
    """Start the service in this Python: the peers' has uvloop."""
    with subprocess.Popen(
        [python, "-m", "tests.bench.service"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        service = Service(f"http://127.0.0.1:{int(process.stdout.readline())}")
        try:
            yield service
        finally:
            service.close()
            process.kill()


@dataclass(frozen=True, kw_only=True)
class World:
    """What a measure may use, and how long it may take."""

    postgres: Postgres
    service: Service
    peers: Peers | None
    rounds: int
    is_quick: bool
    is_large: bool

    def say(self, text: str) -> None:
        """Tell who waits what is going on."""
        sys.stderr.write(f"{time.strftime('%H:%M:%S')}  {text}\n")
        sys.stderr.flush()

    @contextmanager
    def running(self, contestant: Contestant, dsn: str) -> Iterator[Measured]:
        """Start it on this database."""
        if contestant.is_peer:
            assert self.peers is not None
            settings = {
                "BENCH_DSN": dsn,
                "BENCH_URL": self.service.url,
                "BENCH_CONCURRENCY": str(CONCURRENCY),
                **contestant.settings,
            }
            command: tuple[str, ...] = (self.peers.python, "-m", contestant.program)
        else:
            settings = {
                "STOCK_SYNC_DATABASE_URL": dsn,
                "STOCK_SYNC_MICROSERVICE_URL": self.service.url,
                "STOCK_SYNC_MICROSERVICE_JWT": "a.b.c",
                "STOCK_SYNC_CONCURRENCY": str(CONCURRENCY),
                "STOCK_SYNC_HTTP_PORT": str(_free_port()),
                **{f"STOCK_SYNC_{name}": value for name, value in contestant.settings.items()},
            }
            command = (sys.executable, "-m", contestant.program, "run")
        # Peers are not asked to finish in order: a loop of one's own does not know how.
        with running(
            *command, environment=settings, is_stopped_in_order=not contestant.is_peer
        ) as measured:
            yield measured

    @asynccontextmanager
    async def working(
        self, contestant: Contestant, *, service_seconds: float = 0.0
    ) -> AsyncIterator["Work"]:
        """A contestant that has begun and waits for rows, on a database of its own."""
        with self.postgres.database(contestant.kind) as dsn:
            self.service.reset(service_seconds=service_seconds)
            async with connected(dsn) as connection:
                with self.running(contestant, dsn) as measured:
                    await until_idle(measured)
                    yield Work(self.service, contestant, connection, [measured])


class Work:
    """A contestant, or several of one kind, at work."""

    def __init__(
        self,
        service: Service,
        contestant: Contestant,
        connection: "asyncpg.Connection[asyncpg.Record]",
        processes: list[Measured],
    ) -> None:
        self.service = service
        self.contestant = contestant
        self.connection = connection
        self.processes = processes

    @property
    def cpu_seconds(self) -> float:
        return sum(each.cpu_seconds for each in self.processes)

    async def fill(self, orders: int) -> None:
        """Let so many orders wait, committed at once."""
        await self.connection.execute(_literal(self.contestant.fill, orders))

    async def until_done(self, orders: int, rows: int) -> tuple[float, dict[str, Any]]:
        """Wait for the end and verify it; gives when the last row was done, and the record."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await self.connection.fetchval(self.contestant.is_left):
                for each in self.processes:
                    each.check()
                await asyncio.sleep(0.1)
        done, done_at = await self.connection.fetchrow(self.contestant.done) or (0, 0)
        record = self.service.record()
        seen = {
            "orders pushed": (record["orders"], orders),
            "pushes": (record["pushes"], orders),
            "orders pushed twice": (record["twice"], 0),
            "rows done": (done, rows),
        }
        wrong = {what: pair for what, pair in seen.items() if pair[0] != pair[1]}
        if wrong:
            raise NotVerified(f"{self.contestant.name}: {json.dumps(wrong)} (seen, wanted)")
        return max(float(done_at), record["last_at"]), record


async def until_idle(measured: Measured) -> None:
    """Wait until it has begun and rests: it used no CPU to speak of for half a second."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            before = measured.cpu_seconds
            await asyncio.sleep(0.5)
            measured.check()
            if before > 0.05 and measured.cpu_seconds - before < 0.5 * IDLE_SHARE:
                return


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def _literal(statement: str, number: int) -> str:
    """Not as a parameter: a plan for this number, and statements that return rows."""
    return statement.replace("$1", str(number))
