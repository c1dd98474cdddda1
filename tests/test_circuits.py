"""Circuits at work: outages of every kind, bad accounts, poison orders, over real HTTP."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from stocksync.circuits import Circuits
from stocksync.database import Database
from stocksync.demo.microservice import Delivery, Effect, Fault, Matches, StandIn
from tests.outbox import Outbox
from tests.relaying import running_relay, until, until_all, until_async
from tests.service import OTHER_TOKEN_ID, TOKEN_ID, running_stand_in

PATCH = Matches(route="stock_status")
FAILURES = 5
CONCURRENCY = 4


@pytest.fixture
async def stand_in() -> AsyncIterator[StandIn]:
    async with running_stand_in() as stand_in:
        yield stand_in


@pytest.fixture
def circuits(database: Database) -> Circuits:
    return Circuits(database=database, failures=FAILURES)


async def held(circuits: Circuits) -> set[str]:
    return {circuit.token_id for circuit in await circuits.held() if circuit.is_open}


async def until_open(circuits: Circuits, *tokens: str) -> None:
    async def is_so() -> bool:
        return await held(circuits) == set(tokens)

    await until_async(is_so)


async def probe_soon(outbox: Outbox) -> None:
    """Move time instead of waiting: the next probe is due."""
    await outbox.connection.execute(
        "UPDATE stock_sync_circuits SET probe_at = now() WHERE is_open AND probe_at > now()"
    )


async def probes(outbox: Outbox) -> int:
    count: int = await outbox.connection.fetchval("SELECT sum(probes) FROM stock_sync_circuits")
    return count


async def let_probes_fail(outbox: Outbox, count: int) -> None:
    """Let so many probes go, one after the other."""
    wanted = await probes(outbox) + count

    async def have_gone() -> bool:
        await probe_soon(outbox)
        return await probes(outbox) >= wanted

    await until_async(have_gone)


async def until_nothing_is_in_flight(outbox: Outbox) -> None:
    async def is_so() -> bool:
        return "processing" not in await outbox.statuses()

    await until_async(is_so)


def patches(status: int, content: object = None, **headers: str) -> Fault:
    return Fault(matches=PATCH, effect=Effect(status=status, content=content, headers=headers))


Break = Callable[[StandIn], Awaitable[None]]


async def refuse(stand_in: StandIn) -> None:
    await stand_in.stop_listening()


def inject(fault: Fault) -> Break:
    async def broken(stand_in: StandIn) -> None:
        stand_in.inject(fault)

    return broken


async def lose_the_database(stand_in: StandIn) -> None:
    stand_in.microservice.database = "disconnected"


OUTAGES: dict[str, Break] = {
    "refused": refuse,
    "reset": inject(Fault(effect=Effect(status=200, delivery=Delivery.RESET))),
    "hang": inject(Fault(effect=Effect(hang_seconds=60))),
    "429": inject(patches(429, {"detail": "slow down"}, **{"Retry-After": "1"})),
    "502": inject(patches(502, "Bad Gateway")),
    "503": inject(patches(503, "Service Unavailable")),
    "504": inject(patches(504, "Gateway Timeout")),
    "its database is lost": lose_the_database,
    "404 for all tokens": inject(patches(404, {"detail": "Токен не найден"})),
    "401 for all": inject(patches(401, {"detail": "Invalid token"})),
    "500 as plain text": inject(patches(500, "Internal Server Error")),
    "success: false": inject(patches(200, {"success": False})),
    "a wrong echo": inject(
        patches(200, {"success": True, "order_id": "other", "is_stock_updated": True})
    ),
    "not JSON": inject(patches(200, "<html>welcome</html>")),
}


@pytest.mark.parametrize("outage", OUTAGES)
async def test_an_outage_of_any_kind_burns_nothing_and_ends_without_hands(
    dsn: str, outbox: Outbox, circuits: Circuits, stand_in: StandIn, outage: str
) -> None:
    async with running_relay(
        dsn,
        stand_in,
        concurrency=CONCURRENCY,
        timeout_seconds=0.5,
        # A schedule that ends after two attempts within a tenth of a second: far shorter than this.
        max_retries=1,
        retry_seconds=0.05,
        circuit_failures=FAILURES,
    ):
        for token_id in (TOKEN_ID, OTHER_TOKEN_ID):
            await outbox.insert("before", token_id)
        await until_all(outbox, "completed")

        await OUTAGES[outage](stand_in)
        stand_in.record.forget()
        for token_id in (TOKEN_ID, OTHER_TOKEN_ID):
            await outbox.insert_orders(20, units=2, token_id=token_id)
        await until_open(circuits, "")
        await let_probes_fail(outbox, 4)
        # Those that opened it, as many untold, those in flight, and the probes. Twice that: 401 is
        # asked twice, and an account that is unknown by itself looks the same at first.
        most = (FAILURES + FAILURES + CONCURRENCY + 4 + 1) * 2
        assert len(stand_in.record.received) <= most
        statuses = await outbox.statuses()
        assert statuses.keys() <= {"pending", "processing", "completed"}

        stand_in.lift()
        stand_in.microservice.database = "connected"
        if not stand_in.is_listening:
            await stand_in.listen()
        await probe_soon(outbox)
        await until_all(outbox, "completed")
        await until_open(circuits)
    assert {row["retry_count"] for row in await outbox.rows()} <= {0, 1}
    assert all(row.is_stock_updated for row in stand_in.microservice.flags.values())
    assert stand_in.record.overlaps == []


async def test_a_row_alone_in_a_night_long_outage_burns_at_most_one(
    dsn: str, outbox: Outbox, circuits: Circuits, stand_in: StandIn
) -> None:
    async with running_relay(dsn, stand_in, max_retries=1, retry_seconds=0.05):
        await outbox.insert("before", TOKEN_ID)
        await until_all(outbox, "completed")
        await stand_in.stop_listening()
        row_id = await outbox.insert("alone", TOKEN_ID)
        await until_open(circuits, "")
        await let_probes_fail(outbox, 10)
        await stand_in.listen()
        await probe_soon(outbox)
        await until_all(outbox, "completed")
    row = await outbox.row(row_id)
    assert row["retry_count"] == 1
    assert row["attempts"] > 10


async def test_an_unknown_account_is_parked_and_flows_by_itself_when_it_is_mended(
    dsn: str, outbox: Outbox, circuits: Circuits, stand_in: StandIn
) -> None:
    user = stand_in.microservice.accounts.pop(OTHER_TOKEN_ID)
    async with running_relay(dsn, stand_in, max_retries=1, retry_seconds=0.05):
        await outbox.insert("before", TOKEN_ID)
        await outbox.insert_orders(30, token_id=OTHER_TOKEN_ID)
        await until_open(circuits, OTHER_TOKEN_ID)
        for number in range(20):
            await outbox.insert(f"other-{number}", TOKEN_ID)
        await let_probes_fail(outbox, 3)

        async def the_others_are_done() -> bool:
            return (await outbox.statuses()).get("completed") == 21

        await until_async(the_others_are_done)
        stand_in.microservice.accounts[OTHER_TOKEN_ID] = user
        await probe_soon(outbox)
        await until_all(outbox, "completed")
        await until_open(circuits)
    assert {row["retry_count"] for row in await outbox.rows()} <= {0, 1}


async def test_a_poison_order_fails_alone_and_opens_nothing(
    dsn: str, outbox: Outbox, circuits: Circuits, stand_in: StandIn
) -> None:
    stand_in.inject(
        Fault(
            matches=Matches(route="stock_status", order_id="poison"),
            effect=Effect(status=500, content="Internal Server Error"),
        )
    )
    async with running_relay(dsn, stand_in, max_retries=8, retry_seconds=0.05):
        poison = await outbox.insert("poison", TOKEN_ID)

        async def it_has_failed() -> bool:
            return bool((await outbox.row(poison))["status"] == "failed")

        await until_async(it_has_failed)
        assert await held(circuits) == set(), "alone in a quiet queue"
        again = await outbox.insert("poison", TOKEN_ID)
        await outbox.insert_orders(20, token_id=TOKEN_ID)

        async def it_has_failed_again() -> bool:
            return await outbox.statuses() == {"failed": 2, "completed": 20}

        await until_async(it_has_failed_again)
        assert await held(circuits) == set(), "while others pass"
    assert (await outbox.row(again))["retry_count"] == 8


async def test_only_one_probe_goes_at_a_time_over_all_daemons(
    dsn: str, outbox: Outbox, circuits: Circuits, stand_in: StandIn
) -> None:
    stand_in.inject(patches(503, "down"))
    await outbox.insert_orders(50, token_id=TOKEN_ID)
    async with running_relay(dsn, stand_in), running_relay(dsn, stand_in):
        await until_open(circuits, "")

        await until_nothing_is_in_flight(outbox)
        stand_in.lift()
        stand_in.inject(Fault(matches=PATCH, effect=Effect(hang_seconds=60)))
        stand_in.record.forget()
        await probe_soon(outbox)
        await until(lambda: len(stand_in.record.received) == 1)
        for _ in range(10):
            await probe_soon(outbox)
            await asyncio.sleep(0.02)
        assert await outbox.statuses() == {"pending": 49, "processing": 1}
        assert len(stand_in.record.received) == 1
        stand_in.lift()
        await until_all(outbox, "completed")


async def test_each_probe_is_another_order_and_account_in_turn(
    dsn: str, outbox: Outbox, circuits: Circuits, stand_in: StandIn
) -> None:
    await outbox.insert_orders(10, token_id=TOKEN_ID)
    await outbox.insert_orders(10, token_id=OTHER_TOKEN_ID)
    stand_in.inject(patches(503, "down"))
    async with running_relay(dsn, stand_in, concurrency=1):
        await until_open(circuits, "")
        stand_in.record.forget()
        await let_probes_fail(outbox, 6)
        # The last one was claimed: let it arrive.
        await until(lambda: len(stand_in.record.received) >= 6)
    probed = [(each.token_id, each.order_id) for each in stand_in.record.received[:6]]
    assert len(set(probed)) == 6
    assert [token for token, _ in probed[::2]] != [token for token, _ in probed[1::2]]


async def test_the_load_comes_back_step_by_step(
    dsn: str, outbox: Outbox, circuits: Circuits
) -> None:
    async with running_stand_in(service_seconds=0.01) as stand_in:
        stand_in.inject(patches(503, "down"))
        await outbox.insert_orders(100, token_id=TOKEN_ID)
        async with running_relay(dsn, stand_in, concurrency=8):
            await until_open(circuits, "")
            await until_nothing_is_in_flight(outbox)
            stand_in.lift()
            stand_in.record.forget()
            await probe_soon(outbox)
            await until_all(outbox, "completed")
        finished = sorted(each.finished_at or 0 for each in stand_in.record.received)
        arrived = sorted(each.arrived_at for each in stand_in.record.received)
        # The second push comes after the first is done, the fourth after the second is.
        assert arrived[1] >= finished[0]
        assert arrived[3] >= finished[1]


async def test_while_paused_nothing_is_claimed_and_it_ends_by_itself(
    dsn: str, outbox: Outbox, circuits: Circuits, stand_in: StandIn
) -> None:
    async with running_relay(dsn, stand_in):
        await circuits.pause(minutes=10, by="a test")
        await outbox.insert("order", TOKEN_ID)
        await asyncio.sleep(0.3)
        assert await outbox.statuses() == {"pending": 1}
        [paused] = await circuits.held()
        assert (paused.is_paused, paused.paused_by, paused.is_open) == (True, "a test", False)
        await outbox.connection.execute("UPDATE stock_sync_circuits SET paused_until = now()")
        await until_all(outbox, "completed")
    assert await circuits.held() == ()


async def test_a_pause_gives_back_what_waits_in_line(
    dsn: str, outbox: Outbox, circuits: Circuits
) -> None:
    async with (
        running_stand_in(service_seconds=0.2) as stand_in,
        running_relay(dsn, stand_in, concurrency=1, claim_batch_size=1000) as running,
    ):
        running.relay._line.target = 40
        await outbox.insert_orders(30, token_id=TOKEN_ID)
        await until(lambda: len(running.relay._line) >= 20)
        await circuits.pause(minutes=10, by="a test")
        running.relay._line.target = 100  # there is room: it looks again
        running.relay.wake()
        await until(lambda: len(running.relay._line) == 0)
        await until_nothing_is_in_flight(outbox)
        assert (await outbox.statuses())["pending"] >= 15
        await circuits.resume()
        await until_all(outbox, "completed")


async def test_a_paused_account_waits_and_the_others_do_not(
    dsn: str, outbox: Outbox, circuits: Circuits, stand_in: StandIn
) -> None:
    async with running_relay(dsn, stand_in):
        await circuits.pause(token_id=TOKEN_ID, minutes=10, by="a test")
        await outbox.insert("waits", TOKEN_ID)
        await outbox.insert("goes", OTHER_TOKEN_ID)

        async def one_is_done() -> bool:
            return await outbox.statuses() == {"pending": 1, "completed": 1}

        await until_async(one_is_done)
        assert await circuits.resume(token_id=TOKEN_ID)
        assert not await circuits.resume(token_id=TOKEN_ID)
        await until_all(outbox, "completed")
