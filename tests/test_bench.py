"""The benchmarks count only runs that did their work."""

import sys
from collections.abc import Iterator

import httpx
import pytest

from tests.bench.contestants import TOKEN_ID, stocksync
from tests.bench.world import NotVerified, Service, Work, running_service
from tests.outbox import Outbox


@pytest.fixture
def service() -> Iterator[Service]:
    with running_service(sys.executable) as service:
        service.reset()
        yield service


async def push(service: Service, order: str) -> None:
    async with httpx.AsyncClient(base_url=service.url, trust_env=False) as client:
        target = f"/api/v1/orders/{order}/stock-status?token_id={TOKEN_ID}"
        answer = await client.patch(target, json={"is_stock_updated": True})
    assert answer.json()["order_id"] == order


async def done(outbox: Outbox, orders: int) -> None:
    await outbox.insert_orders(orders, token_id=TOKEN_ID)
    await outbox.connection.execute(
        "UPDATE pending_stock_operations SET status = 'completed', completed_at = now()"
    )


async def test_a_run_counts_when_each_order_was_pushed_once(
    outbox: Outbox, service: Service
) -> None:
    await done(outbox, 2)
    await push(service, "order-1")
    await push(service, "order-2")
    _, record = await Work(service, stocksync(), outbox.connection, []).until_done(2, 2)
    assert record["pushes"] == 2


@pytest.mark.parametrize(
    ("pushed", "complaint"),
    [
        (["order-1", "order-2", "order-2"], "orders pushed twice"),
        (["order-1"], "orders pushed"),
    ],
)
async def test_a_run_does_not_count_that_pushed_an_order_twice_or_never(
    outbox: Outbox, service: Service, pushed: list[str], complaint: str
) -> None:
    await done(outbox, 2)
    for order in pushed:
        await push(service, order)
    with pytest.raises(NotVerified, match=complaint):
        await Work(service, stocksync(), outbox.connection, []).until_done(2, 2)


async def test_a_run_does_not_count_that_left_fewer_rows_done_than_there_were(
    outbox: Outbox, service: Service
) -> None:
    await done(outbox, 1)
    await push(service, "order-1")
    with pytest.raises(NotVerified, match="rows done"):
        await Work(service, stocksync(), outbox.connection, []).until_done(1, 3)
