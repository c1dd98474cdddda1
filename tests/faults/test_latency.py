"""One customer's mistake stops nobody else: how long fresh rows wait, with it and without."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from math import ceil
from statistics import median

import pytest

from stocksync.demo.microservice import Effect, Fault, Matches, Microservice, StandIn
from tests.daemons import running_daemon
from tests.faults.test_service import probe_soon
from tests.outbox import Outbox, account
from tests.relaying import until, until_async
from tests.service import SECRET, USER_ID

BAD_ACCOUNT = account(666)
ACCOUNTS = [account(number) for number in range(1, 11)]
BAD_ORDER = ("bad", ACCOUNTS[0])
NORMAL = "nothing wrong"
# The faults take turns with nothing wrong, so that what else the machine does hits all alike.
ROUNDS = 2
ROWS_A_TURN = 70
PACE_SECONDS = 0.01
# Whatever a fault could add to somebody else's wait is half a second (a retry's delay) or more;
# what a busy machine adds to anybody's ends well below.
FLOOR_SECONDS = 0.2


@pytest.fixture
async def stand_in() -> AsyncIterator[StandIn]:
    microservice = Microservice(
        secret=SECRET, accounts=dict.fromkeys([BAD_ACCOUNT, *ACCOUNTS], USER_ID)
    )
    stand_in = StandIn(microservice, service_seconds=0.002)
    await stand_in.start()
    yield stand_in
    await stand_in.aclose()


@contextmanager
def nothing(_: StandIn) -> Iterator[None]:
    yield


@contextmanager
def an_unknown_account(stand_in: StandIn) -> Iterator[None]:
    user = stand_in.microservice.accounts.pop(BAD_ACCOUNT)
    yield
    stand_in.microservice.accounts[BAD_ACCOUNT] = user


def on_order(effect: Effect) -> Callable[[StandIn], AbstractContextManager[None]]:
    @contextmanager
    def injected(stand_in: StandIn) -> Iterator[None]:
        stand_in.inject(
            Fault(matches=Matches(route="stock_status", order_id=BAD_ORDER[0]), effect=effect)
        )
        yield
        stand_in.lift()

    return injected


FAULTS = {
    NORMAL: nothing,
    "an account's 404s": an_unknown_account,
    "an order's 500s": on_order(Effect(status=500, content="Internal Server Error")),
    "an order's hanging call": on_order(Effect(hang_seconds=600)),
}


async def test_everybody_elses_latency_stays_within_twice_the_normal_p99(
    dsn: str, outbox: Outbox, stand_in: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    latencies: dict[str, list[float]] = {name: [] for name in FAULTS}
    with running_daemon(dsn, stand_in.url, LEASE_SECONDS="20") as daemon:
        await daemon.until_logged("listener.listening")
        for turn in range(ROUNDS):
            for name, fault in FAULTS.items():
                with fault(stand_in):
                    latencies[name] += await latencies_of_others(outbox, stand_in, f"{name} {turn}")
                await until_mended(outbox)
    with capsys.disabled():
        print("\n" + "\n".join(map(figures, latencies, latencies.values())))  # noqa: T201 - it is for the eyes
    normal_seconds = p99(latencies[NORMAL])
    for name, seconds in latencies.items():
        assert p99(seconds) <= max(2 * normal_seconds, FLOOR_SECONDS), name


async def latencies_of_others(outbox: Outbox, stand_in: StandIn, turn: str) -> list[float]:
    """Insert rows at a steady pace, for the good and for the bad; gives the good ones' seconds."""
    inserted_at: dict[str, float] = {}
    for number in range(ROWS_A_TURN):
        good, bad = f"{turn} {number}", f"{turn} bad {number}"
        inserted_at[good] = time.monotonic()
        await outbox.insert(good, ACCOUNTS[number % len(ACCOUNTS)])
        await asyncio.sleep(PACE_SECONDS / 2)
        # In turns a row of the bad account and one of the bad order.
        await outbox.insert(*((bad, BAD_ACCOUNT) if number % 2 else BAD_ORDER))
        await asyncio.sleep(PACE_SECONDS / 2)
    arrived_at: dict[str, float] = {}

    def have_all_arrived() -> bool:
        arrived_at.update((each.order_id, each.arrived_at) for each in stand_in.record.received)
        return arrived_at.keys() >= inserted_at.keys()

    await until(have_all_arrived)
    return [arrived_at[order_id] - at for order_id, at in inserted_at.items()]


async def until_mended(outbox: Outbox) -> None:
    """Wait until nothing is left of a fault, and move time for that."""

    async def is_so() -> bool:
        await probe_soon(outbox)
        await outbox.make_due()
        return (await outbox.statuses()).keys() == {"completed"}

    await until_async(is_so)


def p99(seconds: list[float]) -> float:
    return sorted(seconds)[ceil(0.99 * len(seconds)) - 1]


def figures(name: str, seconds: list[float]) -> str:
    half, most = median(seconds), max(seconds)
    return (
        f"{name}: p50 {1000 * half:.1f} ms, p99 {1000 * p99(seconds):.1f} ms,"
        f" max {1000 * most:.1f} ms of {len(seconds)} rows of others"
    )
