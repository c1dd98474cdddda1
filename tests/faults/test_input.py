"""Unusual input, from the order system and from the service: refused, bounded, or simply done."""

import asyncpg
import pytest

from stocksync.demo.microservice import Delivery, Effect, Fault, Matches, StandIn
from tests.outbox import Outbox
from tests.relaying import running_relay, until_all, until_async
from tests.service import TOKEN_ID, running_stand_in

PATCH = Matches(route="stock_status")
# What an error message may hold: a line or three on a screen.
LONGEST_ERROR = 300


async def test_ten_thousand_rows_of_one_order_are_one_push_and_hold_up_nobody(
    dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    async with running_relay(dsn, stand_in):
        await outbox.insert_units(10_000, "large", TOKEN_ID)
        await outbox.insert("small", TOKEN_ID)
        await until_all(outbox, "completed")
    assert sorted(each.order_id for each in stand_in.record.received) == ["large", "small"]


async def test_a_transaction_that_commits_late_is_pushed_after_the_newer_one(
    dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    late = await asyncpg.connect(dsn)
    try:
        async with running_relay(dsn, stand_in):
            # Of several accounts' rows, so that the claim has long moved past its place.
            holding = late.transaction()
            await holding.start()
            await Outbox(late).insert("order", TOKEN_ID, operation_type="refund")
            for number in range(100):
                await outbox.insert(f"order-{number}", TOKEN_ID)
            newer = await outbox.insert("order", TOKEN_ID)
            await until_all(outbox, "completed")
            assert stand_in.microservice.flags[TOKEN_ID, "order"].is_stock_updated
            await holding.commit()
            await until_all(outbox, "completed")
            assert not stand_in.microservice.flags[TOKEN_ID, "order"].is_stock_updated
    finally:
        await late.close()
    rows = [row for row in await outbox.rows() if row["order_id"] == "order"]
    assert [row["id"] == newer for row in rows] == [False, True], "the late row is the older one"


@pytest.mark.parametrize(
    "columns",
    [
        {"status": "processing"},
        {"status": "completed"},
        {"status": "processing", "claim_token": TOKEN_ID, "claim_no": 1, "lease_until": "now"},
        {"claim_token": TOKEN_ID},
        {"lease_until": "now"},
        {"claim_no": 1},
        {"completed_at": "now"},
        {"seq": 1},
    ],
    ids=str,
)
async def test_claim_data_of_a_mistaken_producer_is_refused(
    outbox: Outbox, columns: dict[str, str | int]
) -> None:
    row = {"token_id": TOKEN_ID, "order_id": "order", "sku": "A-1", "quantity": 1, **columns}
    values = ", ".join(f"'{value}'" for value in row.values())
    statement = f"INSERT INTO pending_stock_operations ({', '.join(row)}) VALUES ({values})"
    with pytest.raises((asyncpg.CheckViolationError, asyncpg.GeneratedAlwaysError)):
        await outbox.connection.execute(statement)


async def test_an_attempt_count_of_a_mistaken_producer_is_harmless(
    dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    await outbox.insert("order", TOKEN_ID, retry_count=1000, attempts=1000)
    async with running_relay(dsn, stand_in):
        await until_all(outbox, "completed")


@pytest.mark.parametrize("order_id", ["Заказ № 7, «срочно» 🚚", "ж" * 500, "%2F..%00?#&= +", "..."])
async def test_any_order_id_that_the_table_takes_arrives_as_it_is(
    dsn: str, outbox: Outbox, stand_in: StandIn, order_id: str
) -> None:
    async with running_relay(dsn, stand_in):
        await outbox.insert(order_id, TOKEN_ID)
        await until_all(outbox, "completed")
    assert stand_in.microservice.flags.keys() == {(TOKEN_ID, order_id)}


HOSTILE = {
    "an endless body": Effect(status=200, content="", delivery=Delivery.ENDLESS),
    "an endless error": Effect(status=500, content="", delivery=Delivery.ENDLESS),
    "a byte now and then": Effect(status=200, content="x" * 10_000, delivery=Delivery.DRIP),
    "megabytes of headers": Effect(headers={"X-Long": "x" * 3_000_000}),
    "megabytes of error": Effect(status=500, content="ошибка\n" * 300_000),
    "half an answer": Effect(delivery=Delivery.HALF),
}


@pytest.mark.parametrize("what", HOSTILE)
async def test_what_a_hostile_service_answers_is_bounded(
    dsn: str, outbox: Outbox, stand_in: StandIn, what: str
) -> None:
    stand_in.inject(Fault(matches=PATCH, effect=HOSTILE[what]))
    async with running_relay(dsn, stand_in, timeout_seconds=1):
        row_id = await outbox.insert("order", TOKEN_ID)

        async def it_has_failed_once() -> bool:
            return (await outbox.row(row_id))["error_message"] is not None

        await until_async(it_has_failed_once)
        row = await outbox.row(row_id)
        assert len(row["error_message"]) <= LONGEST_ERROR
        assert row["error_message"].isprintable()
        stand_in.lift()
        await until_all(outbox, "completed")


async def test_a_redirect_elsewhere_is_not_followed(
    dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    async with running_stand_in() as elsewhere:
        location = f"{elsewhere.url}/api/v1/orders/order/stock-status?token_id={TOKEN_ID}"
        stand_in.inject(
            Fault(matches=PATCH, effect=Effect(status=308, headers={"Location": location}))
        )
        async with running_relay(dsn, stand_in):
            row_id = await outbox.insert("order", TOKEN_ID)

            async def it_has_failed_once() -> bool:
                return (await outbox.row(row_id))["error_message"] is not None

            await until_async(it_has_failed_once)
            stand_in.lift()
            await until_all(outbox, "completed")
        assert elsewhere.record.received == []
