"""A host's clock jumps while its daemon runs: only the database's clock counts."""

import shutil
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path
from uuid import UUID

import jwt
import pytest
from aiohttp import web

from stocksync.demo.microservice import Effect, Fault, Matches, Microservice, StandIn
from tests import daemons
from tests.daemons import Daemon, running_daemon
from tests.faults.conftest import PATIENT
from tests.outbox import Outbox
from tests.relaying import until, until_async
from tests.service import SECRET, TOKEN_ID, USER_ID

DAY_SECONDS = 86_400
LEASE_SECONDS = int(PATIENT["LEASE_SECONDS"])
RETRY_AFTER_SECONDS = 300
LIFETIME_SECONDS = 3600
# Between two looks at a clock, however busy the machine is.
A_WHILE_SECONDS = 60


class HearingStandIn(StandIn):
    """Remembers when each JWT that it was shown is over, in seconds since the epoch."""

    def __init__(self, microservice: Microservice) -> None:
        super().__init__(microservice)
        self.expiries: list[float] = []

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token:
            claims = jwt.decode(token, SECRET, algorithms=["HS256"], options={"verify_exp": False})
            self.expiries.append(claims["exp"])
        return await super()._serve(request)


@pytest.fixture
async def stand_in() -> AsyncIterator[HearingStandIn]:
    stand_in = HearingStandIn(Microservice(secret=SECRET, accounts={TOKEN_ID: USER_ID}))
    await stand_in.start()
    yield stand_in
    await stand_in.aclose()


@pytest.fixture
def set_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], object]:
    """Lets the clock of daemons that are started after this be wrong by so many seconds."""
    offset = tmp_path / "offset"
    offset.write_text("0")
    shutil.copy(Path(__file__).with_name("jumping_clock.py"), tmp_path / "sitecustomize.py")
    environment = {"PYTHONPATH": str(tmp_path), "CLOCK_OFFSET_FILE": str(offset)}
    monkeypatch.setattr(daemons, "QUICK", {**daemons.QUICK, **environment})
    return lambda seconds: offset.write_text(str(seconds))


@pytest.mark.parametrize("jump_seconds", [DAY_SECONDS, -DAY_SECONDS], ids=["ahead", "back"])
async def test_retries_leases_and_credentials_do_not_follow_the_clock_of_the_host(
    dsn: str,
    outbox: Outbox,
    stand_in: HearingStandIn,
    set_clock: Callable[[int], object],
    jump_seconds: int,
) -> None:
    for order_id in ("hangs", "hangs later"):
        stand_in.inject(on(order_id, Effect(hang_seconds=600)))
    stand_in.inject(on("fails", Effect(status=500, content="Internal Server Error")))
    with running_daemon(
        dsn,
        stand_in.url,
        **PATIENT | {"RETRY_INITIAL_DELAY": "100", "RETRY_MAX_DELAY": "1000"},
    ) as daemon:
        hangs = await outbox.insert("hangs", TOKEN_ID)
        await until(lambda: len(stand_in.record.received) == 1)

        set_clock(jump_seconds)
        # A retry by our own schedule.
        assert 50 <= await wait_seconds_after_failure(outbox, "fails") <= 100
        assert abs(host_is_ahead_seconds(daemon) - jump_seconds) < A_WHILE_SECONDS
        # One that the service asked for, as a date, without saying what time it has itself.
        until_then = formatdate(time.time() + RETRY_AFTER_SECONDS, usegmt=True)
        headers = {"Retry-After": until_then, "Date": "none"}
        turned_away = Effect(status=429, content="later", headers=headers)
        stand_in.inject(on("asked for", turned_away))
        asked_for_seconds = await wait_seconds_after_failure(outbox, "asked for")
        assert 0 <= RETRY_AFTER_SECONDS + 1 - asked_for_seconds < A_WHILE_SECONDS
        # A JWT minted after the jump passes.
        stand_in.inject(Fault(matches=Matches(order_id="401"), effect=Effect(status=401), first=1))
        unauthorised = await outbox.insert("401", TOKEN_ID)
        await until_completed(outbox, unauthorised)
        for expiry in stand_in.expiries:
            assert abs(expiry - time.time() - LIFETIME_SECONDS) < A_WHILE_SECONDS
        # Leases from before the jump and after it are neither over nor endless.
        later = await outbox.insert("hangs later", TOKEN_ID)
        await until(lambda: stand_in.record.received[-1].order_id == "hangs later")
        leases = await outbox.connection.fetch(
            "SELECT extract(epoch FROM lease_until - clock_timestamp())"
            " FROM pending_stock_operations WHERE lease_until IS NOT NULL"
        )
        assert len(leases) == 2
        assert all(0 < seconds <= LEASE_SECONDS for (seconds,) in leases)
        stand_in.lift()
        for row_id in (hangs, later):
            await until_completed(outbox, row_id)
            assert await outbox.actions(row_id) == ["completed"]


def on(order_id: str, effect: Effect) -> Fault:
    return Fault(matches=Matches(route="stock_status", order_id=order_id), effect=effect)


async def wait_seconds_after_failure(outbox: Outbox, order_id: str) -> float:
    """Insert this order and let it fail once; gives how long it waits for its retry then."""
    row_id = await outbox.insert(order_id, TOKEN_ID)

    async def has_failed() -> bool:
        return bool((await outbox.row(row_id))["retry_count"] == 1)

    await until_async(has_failed)
    row = await outbox.row(row_id)
    wait: timedelta = row["next_retry_at"] - row["attempted_at"]
    return wait.total_seconds()


async def until_completed(outbox: Outbox, row_id: UUID) -> None:
    async def is_so() -> bool:
        return bool((await outbox.row(row_id))["status"] == "completed")

    await until_async(is_so)


def host_is_ahead_seconds(daemon: Daemon) -> float:
    """By how much the daemon's log is ahead of time: the fault is one."""
    said = datetime.fromisoformat(daemon.events()[-1]["timestamp"])
    return (said - datetime.now(UTC)).total_seconds()
