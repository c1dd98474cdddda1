"""PgQueuer's worker, as its own command runs one: on uvloop, with the batch that was fastest."""

import asyncio
import signal
from datetime import timedelta

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.models import Job

from tests.bench.peers.calling import BATCH, DSN, pushing


async def work() -> None:
    """Push what comes until SIGTERM."""
    async with asyncpg.create_pool(DSN, min_size=2, max_size=4) as pool, pushing() as push:
        queue = PgQueuer.from_asyncpg_pool(pool)

        async def push_order(job: Job) -> None:
            assert job.payload is not None
            await push(job.payload.decode())

        queue.entrypoint("push")(push_order)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, queue.shutdown.set)
        await queue.run(batch_size=BATCH, dequeue_timeout=timedelta(seconds=1))


if __name__ == "__main__":
    uvloop.run(work())
