"""The engine without the service: a relay whose push proves everything at once.

A program of its own, `python -m tests.bench.engine DSN ROWS CLAIM_BATCH`: works until so many rows
are settled, then says in JSON what it cost.
"""

import asyncio
import json
import sys
import time

from stocksync.backoff import Backoff
from stocksync.circuits import Circuits
from stocksync.database import Connection, Database, Record
from stocksync.gateway import Health
from stocksync.model import Done, Outcome, Push
from stocksync.relay import Relay
from stocksync.settlement import Rules
from stocksync.store import REHEARSAL, Settled, Store
from tests.bench.contestants import CONCURRENCY

# A push waits for the wire, and meanwhile the other loops have their turn: so they shall here.
YIELD_EVERY = 100


class Counting(Database):
    """Counts the statements."""

    statements = 0

    async def _fetch(
        self, connection: Connection, query: str, args: tuple[object, ...]
    ) -> list[Record]:
        self.statements += 1
        return await super()._fetch(connection, query, args)


class NoOp:
    """A service that is there at once."""

    pushes = 0

    async def push(self, push: Push) -> Outcome:  # noqa: ARG002 - a Pusher's
        self.pushes += 1
        if self.pushes % YIELD_EVERY == 0:
            await asyncio.sleep(0)
        return Done()

    async def health(self) -> Health:
        return Health(is_healthy=True, is_database_connected=True, reason="")


class Until:
    """A meter that says when so many rows are settled."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.reached = asyncio.Event()

    def pushed(self, outcome: Outcome | None, *, seconds: float) -> None:
        pass

    def claimed(self, orders: int, *, seconds: float) -> None:
        pass

    def settled(self, settled: Settled, *, seconds: float) -> None:  # noqa: ARG002 - a Meter's
        self.rows -= len(settled.completed_ages)
        if self.rows <= 0:
            self.reached.set()


async def work(dsn: str, rows: int, claim_batch: int) -> dict[str, float]:
    """Settle so many rows; gives the seconds, the CPU and the statements that it took."""
    until = Until(rows)
    async with Counting(url=dsn, max_connections=3, rehearsal=REHEARSAL) as database:
        # As a daemon that has begun, like the peer: it waits for rows with its connections open.
        await database.open(2)
        relay = Relay(
            store=Store(database=database, by="the benchmark"),
            pusher=NoOp(),
            rules=Rules(backoff=Backoff(initial_seconds=1, max_seconds=1), max_retries=5, by="x"),
            circuits=Circuits(database=database, failures=5),
            bell=None,
            meter=until,
            concurrency=CONCURRENCY,
            claim_batch_size=claim_batch,
            lease_seconds=60,
            timeout_seconds=10,
            poll_interval_seconds=1,
        )
        began_at, cpu_before = time.monotonic(), time.process_time()
        running = asyncio.create_task(relay.run())
        async with asyncio.timeout(300):
            await until.reached.wait()
        seconds, cpu_seconds = time.monotonic() - began_at, time.process_time() - cpu_before
        statements = database.statements
        await relay.drain(grace_seconds=5)
        await running
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "statements": statements}


if __name__ == "__main__":
    _, dsn, rows, claim_batch = sys.argv
    sys.stdout.write(json.dumps(asyncio.run(work(dsn, int(rows), int(claim_batch)))))
