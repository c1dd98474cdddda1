"""Calling the service with httpx or aiohttp, at their best: one client, warm connections.

Settings come from the environment, as in the daemon: BENCH_URL, BENCH_DSN, BENCH_CONCURRENCY,
BENCH_CLIENT (`httpx`, `aiohttp` or `none`), BENCH_BATCH.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from urllib.parse import quote

import aiohttp
import httpx

DSN = os.environ["BENCH_DSN"]
URL = os.environ.get("BENCH_URL", "")
CONCURRENCY = int(os.environ.get("BENCH_CONCURRENCY", "8"))
CLIENT = os.environ.get("BENCH_CLIENT", "httpx")
BATCH = int(os.environ.get("BENCH_BATCH", "100"))
TOKEN_ID = "11111111-1111-4111-8111-111111111111"
HEADERS = {"Authorization": "Bearer a.b.c", "Accept": "application/json"}
TIMEOUT_SECONDS = 10.0

Push = Callable[[str], Awaitable[None]]


class NotProven(Exception):
    """The service did not say that it is done."""


def check(status: int, answer: Mapping[str, object], order_id: str) -> None:
    """Raise unless the answer proves that the flag is held."""
    is_done = (
        status == 200
        and answer["success"] is True
        and answer["order_id"] == order_id
        and answer["is_stock_updated"] is True
    )
    if not is_done:
        raise NotProven(order_id)


def target(order_id: str) -> str:
    """The path of an order's flag."""
    return f"/api/v1/orders/{quote(order_id, safe='')}/stock-status?token_id={TOKEN_ID}"


@asynccontextmanager
async def pushing() -> AsyncIterator[Push]:
    """Give the call; at most CONCURRENCY at once.

    They wait for a slot before they ask the client for a connection: with more askers than
    connections httpx's pool becomes quadratic.
    """
    slots = asyncio.Semaphore(CONCURRENCY)
    async with _CLIENTS[CLIENT]() as call:

        async def push(order_id: str) -> None:
            async with slots:
                await call(order_id)

        yield push if CLIENT != "none" else call


@asynccontextmanager
async def _httpx() -> AsyncIterator[Push]:
    limits = httpx.Limits(
        max_connections=CONCURRENCY,
        max_keepalive_connections=CONCURRENCY,
        keepalive_expiry=4,
    )
    async with httpx.AsyncClient(
        base_url=URL, headers=HEADERS, limits=limits, timeout=TIMEOUT_SECONDS, trust_env=False
    ) as client:

        async def call(order_id: str) -> None:
            answer = await client.patch(target(order_id), json={"is_stock_updated": True})
            check(answer.status_code, answer.json(), order_id)

        yield call


@asynccontextmanager
async def _aiohttp() -> AsyncIterator[Push]:
    async with aiohttp.ClientSession(
        URL,
        headers=HEADERS,
        connector=aiohttp.TCPConnector(limit=CONCURRENCY, keepalive_timeout=4),
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
    ) as session:

        async def call(order_id: str) -> None:
            async with session.patch(target(order_id), json={"is_stock_updated": True}) as answer:
                check(answer.status, await answer.json(), order_id)

        yield call


@asynccontextmanager
async def _nothing() -> AsyncIterator[Push]:
    async def call(_: str) -> None:
        return

    yield call


_CLIENTS = {"httpx": _httpx, "aiohttp": _aiohttp, "none": _nothing}
