"""The verdict: which numbers mean that somebody should come."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from stocksync.verdict import DaemonSeen, Numbers, Verdict, judge

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


IDLE = Numbers(
    pending=0,
    processing=0,
    completed=9,
    failed=0,
    cancelled=0,
    due_rows=0,
    oldest_due_row_at=None,
    last_completed_at=None,
    completed_per_second=0.0,
    first_try_share=None,
    mean_retry_seconds=None,
    orders_to_push_again=0,
    due_orders=0,
    oldest_due_order_at=None,
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


def due(seconds: float) -> Numbers:
    return replace(IDLE, pending=3, due_rows=3, oldest_due_row_at=ago(seconds))


@pytest.mark.parametrize(
    ("numbers", "daemons", "verdict"),
    [
        (IDLE, (), Verdict.OK),
        (IDLE, (DAEMON,), Verdict.OK),
        (due(1), (DAEMON,), Verdict.OK),
        (due(119), (DAEMON,), Verdict.OK),
        (due(121), (DAEMON,), Verdict.STALLED),
        (due(121), (replace(DAEMON, settled_at=ago(119)),), Verdict.OK),
        (due(121), (replace(DAEMON, settled_at=ago(121)),), Verdict.STALLED),
        (replace(due(121), last_completed_at=ago(10)), (DAEMON,), Verdict.OK),
        (due(1), (), Verdict.STALLED),
        (due(1), (replace(DAEMON, is_alive=False),), Verdict.STALLED),
        (replace(IDLE, due_orders=1, oldest_due_order_at=ago(121)), (DAEMON,), Verdict.STALLED),
        (IDLE, (replace(DAEMON, is_listening=False),), Verdict.DEGRADED),
        (IDLE, (replace(DAEMON, is_listening=None),), Verdict.OK),
        (IDLE, (replace(DAEMON, is_listening=False, is_alive=False),), Verdict.OK),
    ],
)
def test_the_verdict_follows_from_the_numbers(
    numbers: Numbers, daemons: tuple[DaemonSeen, ...], verdict: Verdict
) -> None:
    judged, reasons = judge(numbers, daemons, lease_seconds=60)
    assert judged is verdict
    assert bool(reasons) is (verdict is not Verdict.OK)


def test_a_short_lease_does_not_shorten_the_patience_below_a_minute() -> None:
    assert judge(due(59), (DAEMON,), lease_seconds=2)[0] is Verdict.OK
    assert judge(due(61), (DAEMON,), lease_seconds=2)[0] is Verdict.STALLED


def test_a_reason_says_what_waits_and_for_how_long() -> None:
    _, [reason] = judge(due(300), (), lease_seconds=60)
    assert reason == "rows due: 3, waiting for up to 300 s, and no daemon is running"


def test_a_backlog_takes_what_is_due_at_the_present_rate() -> None:
    assert replace(due(1), completed_per_second=0.5).backlog_seconds == 6
    assert due(1).backlog_seconds is None
    assert IDLE.backlog_seconds == 0
