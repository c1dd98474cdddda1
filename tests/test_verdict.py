"""The verdict: which numbers mean that somebody should come."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from stocksync.verdict import (
    LEAST_ATTEMPTS,
    NAMED_ACCOUNTS,
    CircuitSeen,
    DaemonSeen,
    Limits,
    Numbers,
    TelegramSeen,
    TimerSeen,
    Verdict,
)
from stocksync.verdict import judge as judge_all

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


IDLE = Numbers(
    pending=0,
    processing=0,
    completed=9,
    failed=0,
    cancelled=0,
    stale=0,
    due_rows=0,
    due_orders=0,
    oldest_due_at=None,
    claimable_since=None,
    waiting_rows=0,
    waiting_orders=0,
    next_due_at=None,
    retrying=0,
    next_retry_at=None,
    retry_error=None,
    failed_error=None,
    attempts=0,
    unproven=0,
    completed_lately=0,
    lately_seconds=300,
    completed_today=9,
    last_completed_at=None,
    first_try_share=None,
    mean_retry_seconds=None,
    orders_to_push_again=0,
    ambiguous_orders=0,
    now=NOW,
)
DAEMON = DaemonSeen(
    host="host",
    pid=7,
    version="1",
    started_at=ago(3600),
    seen_seconds=2,
    is_alive=True,
    is_listening=True,
    in_flight=0,
    settled_at=None,
)


DEAD = replace(DAEMON, is_alive=False)
DEAF = replace(DAEMON, is_listening=False)
ACCOUNT = "0a1b2c3d-0000-4000-8000-000000000001"
OPEN = CircuitSeen(
    token_id="",
    is_open=True,
    reason="503 turned away",
    opened_at=ago(300),
    probes=7,
    probe_at=NOW,
    is_probing=False,
    is_paused=False,
    paused_until=None,
    paused_by=None,
    waiting_rows=12,
)
PARKED = replace(OPEN, token_id=ACCOUNT, reason="404 token not accepted", waiting_rows=1)
PAUSED = replace(
    OPEN, is_open=False, reason=None, is_paused=True, paused_until=ago(-60), paused_by="anna@desk"
)


TIMER = TimerSeen(
    name="reconcile",
    interval_seconds=1800,
    due_at=ago(-900),
    is_running=False,
    runner="host:7",
    started_at=ago(900),
    ended_at=ago(890),
    succeeded_at=ago(900),
    result={"checked": 100},
    error=None,
    is_overdue=False,
)
TELEGRAM = TelegramSeen(
    refused=None,
    refused_at=None,
    muted_until=None,
    muted_by=None,
    unsent=0,
    oldest_unsent_at=None,
)


def judge(
    numbers: Numbers,
    daemons: tuple[DaemonSeen, ...] = (DAEMON,),
    circuits: tuple[CircuitSeen, ...] = (),
    timers: tuple[TimerSeen, ...] = (TIMER,),
    telegram: TelegramSeen = TELEGRAM,
    *,
    lease_seconds: float = 60,
) -> tuple[Verdict, tuple[str, ...]]:
    limits = Limits(lease_seconds=lease_seconds)
    return judge_all(numbers, daemons, circuits, timers, telegram, limits=limits)


def due(seconds: float) -> Numbers:
    return replace(
        IDLE, pending=3, due_rows=3, oldest_due_at=ago(seconds), claimable_since=ago(seconds)
    )


def due_order(seconds: float) -> Numbers:
    return replace(IDLE, due_orders=1, oldest_due_at=ago(seconds), claimable_since=ago(seconds))


@pytest.mark.parametrize(
    ("numbers", "daemons", "circuits", "verdict"),
    [
        (IDLE, (), (), Verdict.OK),
        (IDLE, (DAEMON,), (), Verdict.OK),
        (due(1), (DAEMON,), (), Verdict.OK),
        (due(119), (DAEMON,), (), Verdict.OK),
        (due(121), (DAEMON,), (), Verdict.STALLED),
        (due(121), (replace(DAEMON, settled_at=ago(119)),), (), Verdict.OK),
        (due(121), (replace(DAEMON, settled_at=ago(121)),), (), Verdict.STALLED),
        (replace(due(121), last_completed_at=ago(10)), (DAEMON,), (), Verdict.OK),
        (due(1), (), (), Verdict.STALLED),
        (due(1), (DEAD,), (), Verdict.STALLED),
        (due_order(121), (DAEMON,), (), Verdict.STALLED),
        # Due for long, but a pause has only just ended.
        (replace(due(3600), claimable_since=ago(5)), (DAEMON,), (), Verdict.OK),
        (IDLE, (DEAF,), (), Verdict.DEGRADED),
        (IDLE, (replace(DAEMON, is_listening=None),), (), Verdict.OK),
        (IDLE, (replace(DEAF, is_alive=False),), (), Verdict.OK),
        # An outage is no standstill, however long: what waits for a circuit is not in due_rows.
        (IDLE, (DAEMON,), (OPEN,), Verdict.DEGRADED),
        (IDLE, (DAEMON,), (PARKED,), Verdict.DEGRADED),
        (IDLE, (DAEMON,), (PAUSED,), Verdict.DEGRADED),
        (IDLE, (DAEMON,), (replace(PAUSED, token_id=ACCOUNT),), Verdict.DEGRADED),
        (due(121), (DAEMON,), (PARKED,), Verdict.STALLED),
        # Nobody there to probe: it would never end.
        (IDLE, (DEAD,), (OPEN,), Verdict.STALLED),
        (IDLE, (), (PARKED,), Verdict.STALLED),
        (IDLE, (), (replace(OPEN, waiting_rows=0),), Verdict.DEGRADED),
        # Stopping the daemon is what a pause may be for.
        (IDLE, (), (PAUSED,), Verdict.DEGRADED),
        (IDLE, (), (PAUSED, PARKED), Verdict.DEGRADED),
        (IDLE, (), (replace(PARKED, is_paused=True, paused_until=ago(-60)),), Verdict.DEGRADED),
    ],
)
def test_the_verdict_follows_from_the_numbers(
    numbers: Numbers,
    daemons: tuple[DaemonSeen, ...],
    circuits: tuple[CircuitSeen, ...],
    verdict: Verdict,
) -> None:
    judged, reasons = judge(numbers, daemons, circuits)
    assert judged is verdict
    assert bool(reasons) is (verdict is not Verdict.OK)


def test_a_short_lease_does_not_shorten_the_patience_below_a_minute() -> None:
    assert judge(due(59), (DAEMON,), (), lease_seconds=2)[0] is Verdict.OK
    assert judge(due(61), (DAEMON,), (), lease_seconds=2)[0] is Verdict.STALLED


def test_a_reason_says_what_waits_and_for_how_long() -> None:
    _, [reason] = judge(due(300), (), ())
    assert reason == "rows due: 3, waiting for up to 300 s, and no daemon is running"


def test_a_backlog_takes_what_is_due_at_the_present_rate() -> None:
    assert replace(due(1), completed_lately=150).backlog_seconds == 6
    assert replace(due(1), completed_lately=150, lately_seconds=50).backlog_seconds == 1
    # Just after an outage of minutes it is the flow that counts, not the silence before it.
    flowing = replace(due(1), completed_lately=200, flowing_rows=150, flowing_seconds=15)
    assert flowing.backlog_seconds == pytest.approx(0.3)
    assert due(1).backlog_seconds is None
    assert IDLE.backlog_seconds == 0


def test_rows_that_have_just_begun_to_flow_give_no_estimate() -> None:
    flowing = replace(due(1), completed_lately=1, flowing_rows=1, flowing_seconds=5)
    assert (flowing.has_just_begun, flowing.backlog_seconds) == (True, None)
    later = replace(flowing, flowing_seconds=10)
    assert (later.has_just_begun, later.backlog_seconds) == (False, 30)
    # One row half a minute ago, and now ten thousand.
    many = replace(later, due_rows=10_000, flowing_seconds=30)
    assert (many.has_just_begun, many.backlog_seconds) == (True, None)
    assert replace(many, flowing_rows=10).backlog_seconds == 30_000
    assert replace(many, flowing_seconds=60).backlog_seconds == 600_000


def test_nobody_can_say_how_long_a_backlog_takes_that_is_held_up() -> None:
    assert replace(IDLE, waiting_rows=3, completed_lately=150).backlog_seconds is None
    assert replace(due(1), waiting_rows=3, completed_lately=150).backlog_seconds == 6


def test_an_open_circuit_says_why_and_what_waits_for_it() -> None:
    _, [reason] = judge(IDLE, (DAEMON,), (OPEN,))
    assert reason == (
        "the service's circuit is open, and closes by itself when the service works again: "
        "503 turned away; 12 rows wait for the service"
    )
    _, [reason] = judge(IDLE, (DAEMON,), (PARKED,))
    assert reason == f"the account {ACCOUNT} is parked: 404 token not accepted; 1 row waits for it"


def test_a_circuit_that_waits_for_another_key_says_what_to_do() -> None:
    _, [reason] = judge(IDLE, circuits=(replace(OPEN, reason="credentials: 401 no such user"),))
    assert reason == (
        "the service's circuit is open, and closes by itself when the service takes the key again; "
        "if the key here is wrong, correct STOCK_SYNC_MICROSERVICE_JWT… and restart the daemon: "
        "credentials: 401 no such user; 12 rows wait for the service"
    )


def test_a_pause_says_until_when_and_by_whom() -> None:
    _, [reason] = judge(IDLE, (DAEMON,), (PAUSED,))
    assert reason == (
        "everything is paused until 2026-05-04 12:01:00 UTC by anna@desk; 12 rows wait for it"
    )


def test_what_holds_rows_up_is_said_beside_a_standstill() -> None:
    verdict, reasons = judge(due(300), (DAEMON,), (PARKED,))
    assert verdict is Verdict.STALLED
    assert [reason.split(":")[0] for reason in reasons] == [
        "rows due",
        f"the account {ACCOUNT} is parked",
    ]


def test_many_parked_accounts_are_counted_and_not_recited() -> None:
    parked = tuple(replace(PARKED, token_id=f"account {n}") for n in range(100))
    _, reasons = judge(IDLE, (DAEMON,), parked)
    assert len(reasons) == NAMED_ACCOUNTS + 1
    assert reasons[-1] == "accounts parked or paused beside these: 95; 95 rows wait for them"


# --- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        (replace(IDLE, pending=1000), None),
        (replace(IDLE, pending=1001), "backlog: 1001 rows are pending, more than 1000"),
        (replace(IDLE, stale=2), "stale rows: 2, not done 6 h after their insert"),
        (replace(IDLE, attempts=50, unproven=5), None),
        (
            replace(IDLE, attempts=50, unproven=6),
            "failure rate: 12 %, 6 of 50 pushes in 30 min were not proven; the limit is 10 %",
        ),
        (replace(IDLE, attempts=LEAST_ATTEMPTS - 1, unproven=LEAST_ATTEMPTS - 1), None),
    ],
)
def test_what_is_above_its_limit_is_a_reason(numbers: Numbers, reason: str | None) -> None:
    expected = (Verdict.OK, ()) if reason is None else (Verdict.DEGRADED, (reason,))
    assert judge(numbers) == expected


def test_fewer_pushes_than_twenty_have_no_failure_rate() -> None:
    assert replace(IDLE, attempts=20, unproven=5).failure_rate == 0.25
    assert replace(IDLE, attempts=19, unproven=5).failure_rate is None


def test_a_timer_that_is_overdue_is_a_reason_also_beside_a_standstill() -> None:
    overdue = (replace(TIMER, due_at=ago(2000), is_overdue=True), replace(TIMER, name="cleanup"))
    reason = "the timer reconcile is overdue by 2000 s"
    assert judge(IDLE, timers=overdue) == (Verdict.DEGRADED, (reason,))
    verdict, reasons = judge(due(121), timers=overdue)
    assert (verdict, reasons[1:]) == (Verdict.STALLED, (reason,))


def test_messages_that_nobody_gets_are_a_reason() -> None:
    refused = replace(TELEGRAM, refused="401 Unauthorized", refused_at=ago(5))
    assert judge(IDLE, telegram=refused) == (
        Verdict.DEGRADED,
        ("Telegram takes no messages from us: 401 Unauthorized",),
    )


def test_silence_that_somebody_wished_for_is_none() -> None:
    muted = replace(TELEGRAM, muted_until=ago(-60), muted_by="anna@desk", unsent=3)
    assert judge(IDLE, telegram=muted) == (Verdict.OK, ())
