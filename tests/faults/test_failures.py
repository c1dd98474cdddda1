"""The rules of failure at work (README: "Failures"): when circuits open, how all flows again."""

import asyncio
import time

import pytest

from stocksync.circuits import Circuits
from stocksync.database import Database
from stocksync.demo.microservice import Delivery, Effect, Fault, Matches, StandIn
from stocksync.verdict import CircuitSeen
from tests.faults.test_service import probe_soon
from tests.outbox import Outbox
from tests.relaying import running_relay, until_all, until_async
from tests.service import OTHER_TOKEN_ID, TOKEN_ID

PATCH = Matches(route="stock_status")
HEALTH = Matches(route="health")
DOWN = Fault(matches=PATCH, effect=Effect(status=503, content="down"))
# CONTRACT: every row is pushed so soon after the recovery, without hands.
RECOVERY_SECONDS = 45.0


async def held(dsn: str) -> dict[str, CircuitSeen]:
    """The circuits that are open now."""
    async with Database(url=dsn) as database:
        seen = await Circuits(database=database).held()
    return {circuit.token_id: circuit for circuit in seen if circuit.is_open}


async def until_open(dsn: str, *tokens: str) -> dict[str, CircuitSeen]:
    async def is_so() -> bool:
        return set(await held(dsn)) == set(tokens)

    await until_async(is_so)
    return await held(dsn)


UNHEALTHY = {
    "its database is gone": Effect(status=200, content={"database": "disconnected"}),
    "an error": Effect(status=503, content="down"),
    "no answer": Effect(delivery=Delivery.RESET),
}


@pytest.mark.parametrize("answer", UNHEALTHY)
async def test_a_failure_that_follows_no_success_opens_it_when_health_is_bad(
    dsn: str, outbox: Outbox, stand_in: StandIn, answer: str
) -> None:
    stand_in.inject(DOWN)
    stand_in.inject(Fault(matches=HEALTH, effect=UNHEALTHY[answer]))
    async with running_relay(dsn, stand_in, retry_seconds=3600):
        await outbox.insert("alone", TOKEN_ID)
        circuits = await until_open(dsn, "")
    assert (circuits[""].reason or "").startswith("/health: ")


@pytest.mark.parametrize("status", [200, 404])
async def test_a_failure_alone_opens_nothing_when_health_is_good_or_unknown(
    dsn: str, outbox: Outbox, stand_in: StandIn, status: int
) -> None:
    stand_in.inject(DOWN)
    healthy = {"database": "connected"} if status == 200 else {"detail": "Not Found"}
    stand_in.inject(Fault(matches=HEALTH, effect=Effect(status=status, content=healthy)))
    async with running_relay(dsn, stand_in):
        row_id = await outbox.insert("alone", TOKEN_ID)

        async def it_was_tried_often() -> bool:
            return bool((await outbox.row(row_id))["attempts"] >= 6)

        await until_async(it_was_tried_often)
        assert await held(dsn) == {}


async def test_one_accounts_404s_are_the_services_when_health_says_its_database_is_gone(
    dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    stand_in.microservice.database = "disconnected"
    async with running_relay(dsn, stand_in, retry_seconds=3600):
        await outbox.insert_orders(3, token_id=TOKEN_ID)
        circuits = await until_open(dsn, "")
        assert "disconnected" in (circuits[""].reason or "")
        stand_in.microservice.database = "connected"
        await probe_soon(outbox)
        await until_all(outbox, "completed")


async def test_credentials_that_are_refused_open_it_at_the_first_answer_with_their_own_reason(
    dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    stand_in.inject(Fault(matches=PATCH, effect=Effect(status=401)))
    async with running_relay(dsn, stand_in, retry_seconds=3600):
        await outbox.insert("alone", TOKEN_ID)
        circuits = await until_open(dsn, "")
        assert (circuits[""].reason or "").startswith("credentials: ")
        # The second time with a JWT minted anew.
        assert [each.status for each in stand_in.record.received[:2]] == [401, 401]
        stand_in.lift()
        await probe_soon(outbox)
        await until_all(outbox, "completed")


async def test_what_failed_in_an_outage_is_due_at_its_end_and_not_at_its_own_retry(
    dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    stand_in.inject(DOWN)
    async with running_relay(dsn, stand_in, retry_seconds=3600):
        await outbox.insert_orders(40, units=2, token_id=TOKEN_ID)
        await until_open(dsn, "")
        stand_in.lift()
        await probe_soon(outbox)
        await until_all(outbox, "completed")
        assert await held(dsn) == {}


async def test_a_422_is_an_answer_that_shows_the_service_at_work(
    dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    stand_in.inject(DOWN)
    async with running_relay(dsn, stand_in, retry_seconds=3600):
        await outbox.insert_orders(5, token_id=TOKEN_ID)
        await until_open(dsn, "")
        stand_in.lift()
        stand_in.inject(Fault(matches=PATCH, effect=Effect(status=422), first=1))
        await probe_soon(outbox)

        async def all_have_ended() -> bool:
            return await outbox.statuses() == {"completed": 4, "failed": 1}

        await until_async(all_have_ended)
        assert await held(dsn) == {}


@pytest.mark.soak
async def test_after_an_outage_of_hours_all_is_pushed_within_45_seconds_without_hands(
    dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    stand_in.inject(DOWN)
    async with running_relay(dsn, stand_in, timeout_seconds=10):
        for token_id in (TOKEN_ID, OTHER_TOKEN_ID):
            await outbox.insert_orders(500, units=2, token_id=token_id)
        await until_open(dsn, "")
        # After so many probes they are as rare as ever.
        await outbox.connection.execute(
            "UPDATE stock_sync_circuits SET probes = 100, probe_at = now() WHERE token_id = ''"
        )

        async def a_probe_has_failed() -> bool:
            circuit = (await held(dsn))[""]
            return circuit.probes == 101 and not circuit.is_probing

        await until_async(a_probe_has_failed)
        # The worst moment: the next probe has just been put off by thirty seconds.
        stand_in.lift()
        mended_at = time.monotonic()
        async with asyncio.timeout(RECOVERY_SECONDS):
            while (await outbox.statuses()).keys() != {"completed"}:
                await asyncio.sleep(0.05)
        assert time.monotonic() - mended_at > 25
    assert {row["retry_count"] for row in await outbox.rows()} <= {0, 1}
