"""A relay at work in this process: the real database, the real HTTP, the stand-in."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from stocksync.backoff import Backoff
from stocksync.circuits import Circuits
from stocksync.database import Database
from stocksync.demo.microservice import StandIn
from stocksync.gateway import Gateway, MintedToken
from stocksync.listener import Listener
from stocksync.loop import Loop
from stocksync.relay import Meter, Relay
from stocksync.settlement import Rules
from stocksync.store import Store
from tests.outbox import Outbox
from tests.service import SECRET, USER_ID

PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Running:
    relay: Relay
    listener: Listener | None
    database: Database


@asynccontextmanager
async def running_relay(
    dsn: str,
    stand_in: StandIn,
    *,
    is_listening: bool = True,
    concurrency: int = 8,
    claim_batch_size: int = 100,
    lease_seconds: float = 60,
    timeout_seconds: float = 5,
    poll_interval_seconds: float = 0.05,
    grace_seconds: float = 10,
    max_retries: int = 5,
    retry_seconds: float = 0.05,
    circuit_failures: int = 5,
    meter: Meter | None = None,
) -> AsyncIterator[Running]:
    """Run a relay until the block ends, then drain it."""
    async with (
        Database(url=dsn) as database,
        Gateway(
            base_url=stand_in.url,
            credentials=MintedToken(secret=SECRET, user_id=USER_ID, clock=time.time),
            timeout_seconds=timeout_seconds,
            concurrency=concurrency,
        ) as gateway,
    ):
        listener = (
            Listener(
                database=database,
                url=dsn,
                on_wake=lambda: relay.wake(),  # noqa: PLW0108 - the relay comes after
                on_ask=lambda: None,
                on_change=lambda: None,
            )
            if is_listening
            else None
        )
        relay = Relay(
            store=Store(database=database, by="a test"),
            pusher=gateway,
            rules=Rules(
                backoff=Backoff(initial_seconds=retry_seconds, max_seconds=retry_seconds),
                max_retries=max_retries,
                by="a test",
            ),
            circuits=Circuits(database=database, failures=circuit_failures),
            bell=listener,
            meter=meter,
            concurrency=concurrency,
            claim_batch_size=claim_batch_size,
            lease_seconds=lease_seconds,
            timeout_seconds=timeout_seconds,
            poll_interval_seconds=poll_interval_seconds,
        )
        running = asyncio.create_task(relay.run())
        if listener is not None:
            listening = Loop("listen", listener.tick)
            listening_task = asyncio.create_task(listening.run())
            await until(lambda: listener.is_listening)
        try:
            yield Running(relay, listener, database)
        finally:
            if listener is not None:
                listening_task.cancel()
                await asyncio.wait([listening_task])
                await listener.close()
            await relay.drain(grace_seconds=grace_seconds)
            await running


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something to become true in this process."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


async def until_async(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something to become true elsewhere: in the database, for instance."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await condition():
            await asyncio.sleep(0.01)


async def until_somebody_waits(outbox: Outbox) -> None:
    """Wait until some session of this database waits for a lock, of a row or any other."""
    waiting = (
        "SELECT count(*) > 0 FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )

    async def it_waits() -> bool:
        return bool(await outbox.connection.fetchval(waiting))

    await until_async(it_waits)


async def until_all(outbox: Outbox, status: str) -> None:
    """Wait until every row has this status."""

    async def is_so() -> bool:
        return (await outbox.statuses()).keys() == {status}

    await until_async(is_so)
