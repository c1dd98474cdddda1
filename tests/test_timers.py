"""Timers: each turn once over all daemons, on schedule, and nobody's death or error ends them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from stocksync.database import Database
from stocksync.loop import Loop
from stocksync.model import NotPossible, ServiceUnavailable
from stocksync.timers import Timer, Timers, Turn
from stocksync.verdict import TimerSeen
from tests.outbox import Outbox
from tests.relaying import until_async

NAME = "reconcile"
INTERVAL = 1800
PATIENCE_SECONDS = 30.0


@pytest.fixture
def first(database: Database) -> Timers:
    return Timers(database=database, by="first")


@pytest.fixture
async def second(dsn: str) -> AsyncIterator[Timers]:
    """Another daemon, behind pgbouncer as far as our side of it goes."""
    async with Database(url=dsn, is_pgbouncer=True) as database:
        yield Timers(database=database, by="second")


async def taken(timers: Timers) -> Turn | None:
    return await timers.take(NAME, interval_seconds=INTERVAL)


async def turn_of(timers: Timers) -> Turn:
    turn = await taken(timers)
    assert turn is not None
    return turn


async def seen(timers: Timers) -> TimerSeen:
    (timer,) = await timers.seen()
    return timer


async def now(outbox: Outbox) -> datetime:
    at: datetime = await outbox.connection.fetchval("SELECT clock_timestamp()")
    return at


async def pass_time(outbox: Outbox, **amount: float) -> None:
    """Move time instead of waiting: all that the timers have noted is so much longer ago."""
    await outbox.connection.execute(
        "UPDATE stock_sync_timers t SET due_at = due_at - by, lease_until = lease_until - by,"
        " started_at = started_at - by, ended_at = ended_at - by, succeeded_at = succeeded_at - by"
        " FROM (SELECT $1::interval AS by) _",
        timedelta(**amount),
    )


async def make_due(timers: Timers, outbox: Outbox) -> None:
    """Register the timer, and let its first interval pass."""
    assert await taken(timers) is None
    await pass_time(outbox, seconds=INTERVAL)


@dataclass
class Runs:
    """What a daemon's turns do, in a test's hands."""

    turns: list[Turn] = field(default_factory=list)
    began: asyncio.Event = field(default_factory=asyncio.Event)
    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    was_cancelled: bool = False

    async def at_once(self, turn: Turn) -> dict[str, Any]:
        self.turns.append(turn)
        return {"checked": len(self.turns)}

    async def when_told(self, turn: Turn) -> dict[str, Any]:
        self.turns.append(turn)
        self.began.set()
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        return {}


def timer_of(
    timers: Timers,
    run: Callable[[Turn], Awaitable[dict[str, Any]]],
    *,
    interval_seconds: int = INTERVAL,
) -> Timer:
    return Timer(timers=timers, name=NAME, interval_seconds=interval_seconds, run=run)


async def has_begun(runs: Runs) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        await runs.began.wait()


async def ended(ticking: "asyncio.Task[float]") -> float:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await ticking


# --- the schedule --------------------------------------------------------------------------------


async def test_the_first_turn_is_one_interval_after_the_first_start(
    first: Timers, outbox: Outbox
) -> None:
    before = await now(outbox)
    assert await taken(first) is None
    interval = timedelta(seconds=INTERVAL)
    assert before + interval <= (await seen(first)).due_at <= await now(outbox) + interval
    await pass_time(outbox, seconds=INTERVAL - 60)
    assert await taken(first) is None
    await pass_time(outbox, seconds=60)
    assert (await turn_of(first)).asked_for is None


async def test_daemons_that_look_at_once_have_one_turn_between_them(
    first: Timers, second: Timers, outbox: Outbox
) -> None:
    await make_due(first, outbox)
    turns = await asyncio.gather(*(taken(timers) for timers in (first, second) * 10))
    assert sum(turn is not None for turn in turns) == 1


async def test_daemons_that_start_at_once_have_one_timer_between_them(database: Database) -> None:
    daemons = [Timers(database=database, by=str(number)) for number in range(10)]
    assert await asyncio.gather(*map(taken, daemons)) == [None] * 10
    assert (await seen(daemons[0])).name == NAME


async def test_over_many_intervals_each_has_one_turn(
    first: Timers, second: Timers, outbox: Outbox
) -> None:
    runs = Runs()
    daemons = [timer_of(timers, runs.at_once) for timers in (first, second)]
    for _ in range(5):
        for _ in range(3):
            await asyncio.gather(*(daemon.tick() for daemon in daemons))
        await pass_time(outbox, seconds=INTERVAL)
    assert len(runs.turns) == 4
    assert (await seen(first)).result == {"checked": 4}


async def test_a_restart_keeps_the_schedule(
    first: Timers, database: Database, outbox: Outbox
) -> None:
    await taken(first)
    due_at = (await seen(first)).due_at
    restarted = Timers(database=database, by="restarted")
    assert await taken(restarted) is None
    assert (await seen(restarted)).due_at == due_at
    await pass_time(outbox, seconds=INTERVAL)
    turn = await turn_of(restarted)
    await restarted.end(turn, result={})
    # By the old phase, not an interval from now.
    assert (await seen(restarted)).due_at == turn.due_at + timedelta(seconds=INTERVAL)
    assert (await seen(restarted)).succeeded_at == turn.started_at


async def test_a_timer_that_is_late_by_hours_has_one_turn_and_keeps_its_phase(
    first: Timers, outbox: Outbox
) -> None:
    await taken(first)
    await pass_time(outbox, seconds=10 * INTERVAL + 100)
    turn = await turn_of(first)
    assert await first.end(turn, result={}) == pytest.approx(INTERVAL - 100, abs=60)
    assert await taken(first) is None
    due_at = (await seen(first)).due_at
    assert due_at > await now(outbox)
    assert due_at - turn.due_at == timedelta(seconds=10 * INTERVAL)


async def test_a_shorter_interval_counts_from_the_next_start_and_a_longer_one_from_the_next_turn(
    first: Timers, database: Database, outbox: Outbox
) -> None:
    await taken(first)
    for interval_seconds, longest_seconds in ((60, 60), (86400, 60)):
        restarted = Timers(database=database, by="restarted")
        assert await restarted.take(NAME, interval_seconds=interval_seconds) is None
        timer = await seen(restarted)
        assert timer.interval_seconds == interval_seconds
        assert timer.due_at <= await now(outbox) + timedelta(seconds=longest_seconds)
    await pass_time(outbox, seconds=61)
    turn = await restarted.take(NAME, interval_seconds=86400)
    assert turn is not None
    await restarted.end(turn, result={})
    assert (await seen(restarted)).due_at == turn.due_at + timedelta(days=1)


async def test_the_longest_interval_that_the_settings_allow_is_taken(first: Timers) -> None:
    interval_seconds = 10**8 * 60
    assert await first.take(NAME, interval_seconds=interval_seconds) is None
    assert (await seen(first)).interval_seconds == interval_seconds


@pytest.mark.parametrize("distance", [-3, 3])
async def test_a_time_of_day_is_the_next_such_time_and_then_every_day(
    first: Timers, outbox: Outbox, distance: int
) -> None:
    start = await now(outbox)
    at = f"{start + timedelta(hours=distance):%H:%M}"
    assert await first.take("report", interval_seconds=86400, at=at) is None
    due_at = (await seen(first)).due_at
    assert f"{due_at.astimezone(UTC):%H:%M:%S}" == f"{at}:00"
    assert start < due_at <= start + timedelta(days=1)
    await outbox.connection.execute(
        "UPDATE stock_sync_timers SET due_at = due_at - interval '2 days'"
    )
    turn = await first.take("report", interval_seconds=86400, at=at)
    assert turn is not None
    await first.end(turn, result={})
    assert (await seen(first)).due_at == due_at


async def test_another_time_of_day_takes_effect_at_the_next_start(
    database: Database, outbox: Outbox
) -> None:
    start = await now(outbox)
    for distance in (2, 5, 1):
        at = f"{start + timedelta(hours=distance):%H:%M}"
        timers = Timers(database=database, by="restarted")
        assert await timers.take("report", interval_seconds=86400, at=at) is None
        due_at = (await seen(timers)).due_at
        assert f"{due_at.astimezone(UTC):%H:%M}" == at
        assert start < due_at < start + timedelta(hours=distance, minutes=1)


async def test_behind_a_pooler_a_turn_has_the_same_life(second: Timers, outbox: Outbox) -> None:
    await make_due(second, outbox)
    turn = await turn_of(second)
    assert await second.renew(turn)
    await second.give_back(turn)
    turn = await turn_of(second)
    assert await second.end(turn, result={"found": 1}) is not None
    assert await second.ask(NAME, by="somebody", of={"token_id": "a"})
    turn = await turn_of(second)
    assert turn.asked_for == {"token_id": "a"}
    await second.end(turn, error="not now")
    timer = await seen(second)
    assert (timer.result, timer.error) == ({"found": 1}, "not now")
    await second.retire(NAME)
    assert await second.seen() == ()


# --- leases --------------------------------------------------------------------------------------


async def test_a_dead_runners_turn_is_taken_over_after_its_lease(
    first: Timers, second: Timers, outbox: Outbox
) -> None:
    await make_due(first, outbox)
    dead = await turn_of(first)
    await pass_time(outbox, seconds=50)
    assert await taken(second) is None
    await pass_time(outbox, seconds=20)
    with capture_logs() as events:
        successor = await turn_of(second)
    assert events == [
        {"event": "timer.taken_over", "log_level": "warning", "timer": NAME, "of": "first"}
    ]
    assert successor.run_token != dead.run_token
    assert (await seen(first)).runner == "second"


async def test_who_lost_its_turn_can_neither_renew_nor_end_nor_give_it_back(
    first: Timers, second: Timers, outbox: Outbox
) -> None:
    await make_due(first, outbox)
    lost = await turn_of(first)
    await pass_time(outbox, seconds=61)
    held = await turn_of(second)
    assert not await first.renew(lost)
    assert await first.end(lost, result={"by": "first"}) is None
    assert await first.end(lost, error="by first") is None
    await first.give_back(lost)
    timer = await seen(first)
    assert (timer.is_running, timer.result, timer.error) == (True, None, None)
    assert await second.renew(held)
    assert await second.end(held, result={"by": "second"}) is not None
    assert (await seen(first)).result == {"by": "second"}


async def test_a_turn_is_renewed_while_it_lasts(database: Database, outbox: Outbox) -> None:
    short = Timers(database=database, by="short", lease_seconds=6)
    await make_due(short, outbox)
    runs = Runs()
    ticking = asyncio.create_task(timer_of(short, runs.when_told).tick())
    await has_begun(runs)
    taken_until = await _lease_until(outbox)

    async def is_renewed() -> bool:
        return await _lease_until(outbox) > taken_until

    await until_async(is_renewed)
    runs.may_end.set()
    await ended(ticking)
    timer = await seen(short)
    assert (timer.is_running, timer.error) == (False, None)


async def _lease_until(outbox: Outbox) -> datetime:
    at: datetime = await outbox.connection.fetchval("SELECT lease_until FROM stock_sync_timers")
    return at


async def test_a_run_that_lost_its_turn_is_cancelled(
    database: Database, second: Timers, outbox: Outbox
) -> None:
    short = Timers(database=database, by="short", lease_seconds=2)
    await make_due(short, outbox)
    runs = Runs()
    ticking = asyncio.create_task(timer_of(short, runs.when_told).tick())
    await has_begun(runs)
    # In one step: a renewal must not come between.
    await outbox.connection.execute(
        "UPDATE stock_sync_timers SET run_token = gen_random_uuid(), runner = 'second',"
        " lease_until = now() + interval '1 minute'"
    )
    with capture_logs() as events:
        assert await ended(ticking) > 0
    assert runs.was_cancelled
    assert [event["event"] for event in events] == ["timer.lost"]
    timer = await seen(second)
    assert (timer.is_running, timer.runner, timer.ended_at) == (True, "second", None)


async def test_a_run_is_cancelled_when_its_lease_cannot_be_renewed_any_more(
    database: Database, outbox: Outbox
) -> None:
    short = Timers(database=database, by="short", lease_seconds=0.4)
    await make_due(short, outbox)
    runs = Runs()
    async with outbox.connection.transaction():
        ticking = asyncio.create_task(timer_of(short, runs.when_told).tick())
        await has_begun(runs)
        # Every renewal hangs.
        await outbox.connection.execute("SELECT FROM stock_sync_timers FOR UPDATE")

        async def is_cancelled() -> bool:
            return runs.was_cancelled

        await until_async(is_cancelled)
    assert await ended(ticking) > 0
    # Nobody took it meanwhile.
    assert not (await seen(short)).is_running


async def test_a_daemon_that_stops_in_the_middle_gives_its_turn_back_at_once(
    first: Timers, second: Timers, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A slow machine is no bug.
    monkeypatch.setattr("stocksync.timers.timer.LETTING_GO_SECONDS", PATIENCE_SECONDS)
    await make_due(first, outbox)
    runs = Runs()
    loop = Loop(NAME, timer_of(first, runs.when_told).tick)
    running = asyncio.create_task(loop.run())
    await has_begun(runs)
    loop.stop()
    running.cancel()
    with suppress(asyncio.CancelledError):
        async with asyncio.timeout(PATIENCE_SECONDS):
            await running
    assert runs.was_cancelled
    assert (await turn_of(second)).due_at == runs.turns[0].due_at


async def test_a_daemon_that_stops_does_not_wait_for_a_turn_that_does_not_let_go(
    first: Timers, outbox: Outbox
) -> None:
    await make_due(first, outbox)
    runs = Runs()

    async def clings(turn: Turn) -> dict[str, Any]:
        with suppress(asyncio.CancelledError):
            await runs.when_told(turn)
        await runs.may_end.wait()
        return {}

    ticking = asyncio.create_task(timer_of(first, clings).tick())
    await has_begun(runs)
    ticking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ended(ticking)
    # It may still be at work: nobody else has it before its lease is over.
    assert (await seen(first)).is_running
    runs.may_end.set()


# --- errors --------------------------------------------------------------------------------------


async def test_an_error_is_noted_and_the_turn_had_again_after_a_minute(
    first: Timers, second: Timers, outbox: Outbox
) -> None:
    await make_due(first, outbox)

    async def fails(_: Turn) -> dict[str, Any]:
        raise ServiceUnavailable("no credible answer")

    with capture_logs() as events:
        assert 0 < await timer_of(first, fails).tick() <= 5
    assert [(event["event"], event["log_level"]) for event in events] == [
        ("timer.failed", "warning")
    ]
    failed = await seen(first)
    assert (failed.error, failed.is_running, failed.succeeded_at, failed.result) == (
        "no credible answer",
        False,
        None,
        None,
    )
    assert await taken(second) is None
    await pass_time(outbox, seconds=61)
    turn = await turn_of(second)
    assert turn.due_at == failed.due_at - timedelta(seconds=61)
    await second.end(turn, result={"found": 0})
    well = await seen(first)
    assert (well.error, well.result, well.succeeded_at) == (None, {"found": 0}, turn.started_at)


async def test_a_short_timer_is_tried_again_after_its_interval(
    first: Timers, outbox: Outbox
) -> None:
    assert await first.take(NAME, interval_seconds=10) is None
    await pass_time(outbox, seconds=10)
    turn = await first.take(NAME, interval_seconds=10)
    assert turn is not None
    await first.end(turn, error="once")
    assert await first.take(NAME, interval_seconds=10) is None
    await pass_time(outbox, seconds=10)
    assert await first.take(NAME, interval_seconds=10) is not None


async def test_a_bug_is_logged_with_its_traceback_and_its_text_kept_out_of_status(
    first: Timers, outbox: Outbox
) -> None:
    await make_due(first, outbox)
    bug = KeyError("hunter2")

    async def fails(_: Turn) -> dict[str, Any]:
        raise bug

    with capture_logs() as events:
        await timer_of(first, fails).tick()
    (event,) = events
    assert (event["event"], event["log_level"]) == ("timer.failed", "error")
    assert event["exc_info"] is bug
    assert (await seen(first)).error == "a bug, told in the log: KeyError"


async def test_a_result_that_cannot_be_kept_is_a_bug_of_the_turn(
    first: Timers, outbox: Outbox
) -> None:
    await make_due(first, outbox)

    async def counts_nonsense(_: Turn) -> dict[str, Any]:
        return {"share": float("nan")}

    await timer_of(first, counts_nonsense).tick()
    timer = await seen(first)
    assert (timer.is_running, timer.result) == (False, None)
    assert timer.error == "a bug, told in the log: ValueError"


# --- turns that are asked for --------------------------------------------------------------------


async def test_a_turn_that_is_asked_for_is_had_at_once_and_leaves_the_schedule(
    first: Timers, second: Timers
) -> None:
    await taken(first)
    due_at = (await seen(first)).due_at
    assert await second.ask(NAME, by="somebody")
    turn = await turn_of(first)
    assert (turn.asked_for, turn.asked_by, turn.due_at) == ({}, "somebody", due_at)
    await first.end(turn, result={})
    timer = await seen(first)
    assert (timer.due_at, timer.succeeded_at) == (due_at, turn.started_at)
    assert await taken(first) is None


async def test_who_asks_wakes_the_daemons(first: Timers, database: Database, dsn: str) -> None:
    await taken(first)
    listening = await asyncpg.connect(dsn)
    woken = asyncio.Event()
    try:
        await listening.add_listener(
            f"stock_sync_{database.schema}",
            lambda *_: woken.set(),
        )
        await first.ask(NAME, by="somebody")
        async with asyncio.timeout(PATIENCE_SECONDS):
            await woken.wait()
    finally:
        await listening.close()


async def test_nothing_can_be_asked_of_a_timer_that_no_daemon_has(first: Timers) -> None:
    assert not await first.ask(NAME, by="somebody")
    assert await first.seen() == ()


async def test_turns_that_are_asked_for_are_had_in_order_and_none_is_lost(
    first: Timers, second: Timers
) -> None:
    await taken(first)
    for account in ("a", "b", "a"):
        assert await first.ask(NAME, by="somebody", of={"token_id": account})
    turn = await turn_of(second)
    assert turn.asked_for == {"token_id": "a"}
    # While it is in its turn the same is one more wish: it may have looked already.
    await first.ask(NAME, by="somebody", of={"token_id": "a"})
    await first.ask(NAME, by="somebody", of={"token_id": "a"})
    assert await second.end(turn, result={}) == 0
    # It says nothing of the other accounts.
    assert (await seen(first)).succeeded_at is None
    for account in ("b", "a"):
        turn = await turn_of(second)
        assert turn.asked_for == {"token_id": account}
        await second.end(turn, result={})
    assert await taken(second) is None


async def test_a_dead_runners_turn_that_was_asked_for_is_had_again(
    first: Timers, second: Timers, outbox: Outbox
) -> None:
    await taken(first)
    await first.ask(NAME, by="somebody", of={"token_id": "a"})
    await turn_of(first)
    await pass_time(outbox, seconds=61)
    assert (await turn_of(second)).asked_for == {"token_id": "a"}


async def test_a_turn_that_is_asked_for_is_had_once_whatever_comes_of_it(
    first: Timers, outbox: Outbox
) -> None:
    await make_due(first, outbox)
    await first.ask(NAME, by="somebody")
    turn = await turn_of(first)
    assert turn.asked_for == {}
    await first.end(turn, error="not now")
    assert await taken(first) is None
    await pass_time(outbox, seconds=61)
    assert (await turn_of(first)).asked_for is None


async def test_a_wish_does_not_wait_for_a_failed_schedule(first: Timers, outbox: Outbox) -> None:
    await make_due(first, outbox)
    await first.end(await turn_of(first), error="not now")
    assert await taken(first) is None
    await first.ask(NAME, by="somebody")
    assert (await turn_of(first)).asked_for == {}


async def test_more_wishes_than_anybody_waits_for_are_refused(
    first: Timers, outbox: Outbox
) -> None:
    await taken(first)
    await outbox.connection.execute(
        "UPDATE stock_sync_timers SET asked = (SELECT jsonb_agg(jsonb_build_object("
        "'by', 'a loop', 'of', jsonb_build_object('token_id', n))) FROM generate_series(1, 1000) n)"
    )
    with pytest.raises(NotPossible, match="1000 turns of reconcile are asked for already"):
        await first.ask(NAME, by="somebody")


# --- what is seen --------------------------------------------------------------------------------


async def test_a_timer_is_overdue_when_its_turn_is_due_for_an_interval(
    first: Timers, outbox: Outbox
) -> None:
    await make_due(first, outbox)
    assert not (await seen(first)).is_overdue
    await pass_time(outbox, seconds=INTERVAL - 60)
    assert not (await seen(first)).is_overdue
    await pass_time(outbox, seconds=60)
    assert (await seen(first)).is_overdue


async def test_a_short_timer_is_not_overdue_before_a_dead_runners_lease_is_over(
    first: Timers, outbox: Outbox
) -> None:
    await first.take(NAME, interval_seconds=1)
    await pass_time(outbox, seconds=50)
    assert not (await seen(first)).is_overdue
    await pass_time(outbox, seconds=20)
    assert (await seen(first)).is_overdue


async def test_a_late_turn_that_runs_is_overdue_only_when_it_takes_an_interval(
    first: Timers, outbox: Outbox
) -> None:
    await taken(first)
    await pass_time(outbox, seconds=10 * INTERVAL)
    assert (await seen(first)).is_overdue
    turn = await turn_of(first)
    assert not (await seen(first)).is_overdue
    await pass_time(outbox, seconds=INTERVAL + 1)
    await first.renew(turn)
    assert (await seen(first)).is_overdue


async def test_a_turn_that_fails_again_and_again_is_overdue(first: Timers, outbox: Outbox) -> None:
    await make_due(first, outbox)
    for _ in range(2):
        await first.end(await turn_of(first), error="not now")
        await pass_time(outbox, seconds=INTERVAL)
    assert (await seen(first)).is_overdue
    # Also while it tries once more.
    await turn_of(first)
    assert (await seen(first)).is_overdue


async def test_a_timer_that_is_switched_off_is_forgotten_until_somebody_has_it_again(
    first: Timers, second: Timers
) -> None:
    await taken(first)
    await second.retire(NAME)
    assert await first.seen() == ()
    for _ in range(2):
        assert await taken(first) is None
    assert (await seen(first)).name == NAME


# --- the loop ------------------------------------------------------------------------------------


async def test_a_timer_rests_until_its_turn_but_looks_every_few_seconds(
    first: Timers, outbox: Outbox
) -> None:
    runs = Runs()
    timer = timer_of(first, runs.at_once)
    assert await timer.tick() == 5
    await pass_time(outbox, seconds=INTERVAL - 4)
    assert 0 < await timer.tick() <= 4
    await pass_time(outbox, seconds=4)
    assert await timer.tick() == 5
    assert len(runs.turns) == 1


async def test_a_loop_has_turn_after_turn(first: Timers) -> None:
    runs = Runs()
    loop = Loop(NAME, timer_of(first, runs.at_once, interval_seconds=1).tick)
    running = asyncio.create_task(loop.run())

    async def has_had_two() -> bool:
        return len(runs.turns) >= 2

    await until_async(has_had_two)
    loop.stop()
    await running
    dues = [turn.due_at for turn in runs.turns]
    assert all((later - dues[0]) % timedelta(seconds=1) == timedelta() for later in dues)
    assert len(set(dues)) == len(dues)
