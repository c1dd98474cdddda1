"""The loop that an order system begins with: one row after the other, a commit for each.

With BENCH_CLIENT=httpx it opens a client for each call, as such loops do; `kept` keeps one open.
"""

import asyncio
from contextlib import AsyncExitStack

import asyncpg
import httpx

from tests.bench.peers.calling import CLIENT, DSN, HEADERS, TIMEOUT_SECONDS, URL, check, target

IS_KEPT = CLIENT == "kept"
PENDING = "SELECT id, order_id FROM serial WHERE status = 'pending' ORDER BY id LIMIT 100"
DONE = "UPDATE serial SET status = 'completed', completed_at = clock_timestamp() WHERE id = $1"
POLL_SECONDS = 0.1


async def call(client: httpx.AsyncClient, order_id: str) -> None:
    """PATCH one order's flag."""
    answer = await client.patch(URL + target(order_id), json={"is_stock_updated": True})
    check(answer.status_code, answer.json(), order_id)


async def work() -> None:
    """Push what comes until killed."""
    async with AsyncExitStack() as stack:
        connection = await asyncpg.connect(DSN)
        kept = await stack.enter_async_context(_client())
        while True:
            rows = await connection.fetch(PENDING)
            for row in rows:
                if IS_KEPT:
                    await call(kept, row["order_id"])
                else:
                    async with _client() as client:
                        await call(client, row["order_id"])
                await connection.execute(DONE, row["id"])
            if not rows:
                await asyncio.sleep(POLL_SECONDS)


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(headers=HEADERS, timeout=TIMEOUT_SECONDS)


if __name__ == "__main__":
    asyncio.run(work())
