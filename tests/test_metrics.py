"""Metrics: what is counted is what happened, in Prometheus' own words, at the cost of nothing."""

import re
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families

from stocksync.database import Database
from stocksync.demo.microservice import Effect, Fault, Matches, StandIn
from stocksync.metrics import Metrics
from stocksync.metrics.distribution import Distribution
from stocksync.model import Cause, Done, Refused, Retry
from stocksync.store import Settled
from stocksync.verdict import (
    CircuitSeen,
    DaemonSeen,
    Limits,
    Numbers,
    Snapshot,
    Standing,
    TelegramSeen,
    TimerSeen,
    Verdict,
)
from tests.asking import Asker, asking
from tests.asking import metrics as idle_metrics
from tests.outbox import ACCOUNT, OTHER_ACCOUNT, Outbox
from tests.relaying import running_relay, until, until_all
from tests.service import TOKEN_ID, running_stand_in

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


NUMBERS = Numbers(
    pending=12,
    processing=3,
    completed=None,
    failed=4,
    cancelled=None,
    stale=1,
    due_rows=10,
    due_orders=2,
    oldest_due_at=ago(50),
    claimable_since=ago(40),
    waiting_rows=5,
    waiting_orders=1,
    next_due_at=None,
    retrying=6,
    next_retry_at=None,
    retry_error=None,
    failed_error=None,
    attempts=100,
    unproven=25,
    completed_lately=300,
    lately_seconds=300,
    completed_today=1000,
    last_completed_at=ago(5),
    first_try_share=0.99,
    mean_retry_seconds=70.0,
    orders_to_push_again=2,
    ambiguous_orders=7,
    now=NOW,
)


def circuit(token_id: str, *, is_open: bool = True, is_paused: bool = False) -> CircuitSeen:
    return CircuitSeen(
        token_id=token_id,
        is_open=is_open,
        reason="",
        opened_at=NOW,
        probes=0,
        probe_at=NOW,
        is_probing=False,
        is_paused=is_paused,
        paused_until=NOW if is_paused else None,
        paused_by="me" if is_paused else None,
        waiting_rows=0,
    )


def daemon(*, is_alive: bool = True, is_listening: bool | None = True) -> DaemonSeen:
    return DaemonSeen(
        host="host",
        pid=1,
        version="1",
        started_at=NOW,
        seen_seconds=1,
        is_alive=is_alive,
        is_listening=is_listening,
        in_flight=0,
        settled_at=NOW,
    )


def timer(name: str, result: dict[str, object] | None, error: str | None = None) -> TimerSeen:
    return TimerSeen(
        name=name,
        interval_seconds=60,
        due_at=NOW,
        is_running=False,
        runner=None,
        started_at=NOW,
        ended_at=NOW,
        succeeded_at=NOW if result else None,
        result=result,
        error=error,
        is_overdue=error is not None,
    )


STANDING = Standing(
    verdict=Verdict.DEGRADED,
    reasons=("something",),
    numbers=NUMBERS,
    circuits=(circuit(""), circuit(ACCOUNT), circuit(OTHER_ACCOUNT, is_paused=True)),
    daemons=(daemon(), daemon(is_listening=False), daemon(is_alive=False, is_listening=False)),
    timers=(
        timer("reconcile", {"checked": 50, "found": 3, "repaired": 1, "left": 1, "given_up": 1}),
        timer("cleanup", {"orders": 9, "took_seconds": 1.5}),
        timer("monitor", None, "it broke"),
    ),
    telegram=TelegramSeen(
        refused="401",
        refused_at=NOW,
        muted_until=NOW,
        muted_by="me",
        unsent=2,
        oldest_unsent_at=ago(30),
    ),
    oldest_snapshot=Snapshot(pid=1, application_name=None, state=None, age_seconds=90),
    limits=Limits(),
)


def samples(text: str) -> dict[str, float]:
    """Each sample by its name and labels, as it is written."""
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def shown(
    metrics: Metrics, standing: Standing | None = None, *, is_database_away: bool = False
) -> dict[str, float]:
    return samples(metrics.exposition(standing, is_database_away=is_database_away).decode())


# --- how the outbox stands -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ('operations{status="pending"}', 12),
        ('operations{status="processing"}', 3),
        ('operations{status="failed"}', 4),
        ("due_rows", 10),
        ("due_orders", 2),
        ("held_rows", 5),
        ("retrying_rows", 6),
        ("stale_rows", 1),
        ("ambiguous_orders", 7),
        ("oldest_due_age_seconds", 50),
        ("backlog_seconds", 10),
        ("failure_ratio", 0.25),
        ("first_try_ratio", 0.99),
        ("retry_mean_seconds", 70),
        ("last_completed_timestamp_seconds", ago(5).timestamp()),
        ('verdict{verdict="OK"}', 0),
        ('verdict{verdict="DEGRADED"}', 1),
        ('verdict{verdict="STALLED"}', 0),
        ('circuits_open{scope="service"}', 1),
        ('circuits_open{scope="account"}', 2),
        ('paused{scope="all"}', 0),
        ('paused{scope="account"}', 1),
        ("daemons_alive", 2),
        ("daemons_deaf", 1),
        ('timer_overdue{timer="monitor"}', 1),
        ('timer_failed{timer="reconcile"}', 0),
        ('timer_last_success_timestamp_seconds{timer="reconcile"}', NOW.timestamp()),
        ('reconcile_last_turn{counted="given_up"}', 1),
        ('cleanup_last_turn{counted="took_seconds"}', 1.5),
        ("telegram_unsent_changes", 2),
        ("telegram_oldest_unsent_age_seconds", 30),
        ("telegram_refused", 1),
        ("telegram_muted", 1),
        ("oldest_snapshot_age_seconds", 90),
        ("database_up", 1),
        ('build_info{version="1.2.3"}', 1),
        ("pushes_limit", 8),
        ("listening", 1),
    ],
)
def test_the_outbox_is_shown_in_numbers(name: str, value: float) -> None:
    assert shown(idle_metrics(), STANDING)[f"stocksync_{name}"] == value


def test_nothing_due_is_0_seconds_and_what_is_not_known_is_left_out() -> None:
    numbers = replace(
        NUMBERS,
        oldest_due_at=None,
        completed_lately=0,
        attempts=3,
        first_try_share=None,
        mean_retry_seconds=None,
        last_completed_at=None,
    )
    standing = replace(STANDING, numbers=numbers, timers=(), oldest_snapshot=None)
    found = shown(idle_metrics(), standing)
    assert found["stocksync_oldest_due_age_seconds"] == 0
    assert found["stocksync_oldest_snapshot_age_seconds"] == 0
    for unknown in ("backlog", "failure", "first_try", "retry_mean", "last_completed", "reconcile"):
        assert not [name for name in found if name.startswith(f"stocksync_{unknown}")]


def test_without_its_database_a_daemon_shows_its_own_numbers_and_no_old_ones() -> None:
    metrics = idle_metrics()
    assert "stocksync_due_rows" in shown(metrics, STANDING)
    found = shown(metrics, None, is_database_away=True)
    assert found["stocksync_database_up"] == 0
    assert "stocksync_due_rows" not in found
    assert "stocksync_pushes_in_flight" in found


def test_a_database_of_which_nothing_is_known_is_not_said_to_be_away() -> None:
    found = shown(idle_metrics(), None)
    assert "stocksync_database_up" not in found
    assert "stocksync_due_rows" not in found


def test_a_daemon_that_is_set_to_poll_is_not_deaf() -> None:
    metrics = Metrics(
        version="1", in_flight=lambda: 2, push_limit=lambda: 3, is_listening=lambda: None
    )
    found = shown(metrics)
    assert "stocksync_listening" not in found
    assert (found["stocksync_pushes_in_flight"], found["stocksync_pushes_limit"]) == (2, 3)


def test_names_types_and_units_are_as_prometheus_has_them() -> None:
    metrics = idle_metrics()
    text = metrics.exposition(STANDING).decode()
    families = list(text_string_to_metric_families(text))
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    for family in families:
        assert family.documentation
        assert family.name.startswith(("stocksync_", "process_"))
        assert re.fullmatch(r"[a-z][a-z0-9_]*", family.name)
        assert not re.search(r"_(ms|millis|minutes|hours|percent)\b", family.name)
        for sample in family.samples:
            if family.type == "counter":
                assert sample.name == f"{family.name}_total"
    kinds = {family.name: family.type for family in families}
    assert kinds["stocksync_pushes"] == "counter"
    assert kinds["stocksync_push_duration_seconds"] == "histogram"
    assert kinds["stocksync_due_rows"] == "gauge"
    assert "process_resident_memory_bytes" in kinds


def test_two_daemons_in_one_process_do_not_meet() -> None:
    one, other = idle_metrics(), idle_metrics()
    one.pushed(Done(), seconds=0.1)
    assert shown(other)['stocksync_pushes_total{outcome="proven"}'] == 0


# --- what this daemon did ------------------------------------------------------------------------


def test_pushes_are_counted_by_what_came_of_them() -> None:
    metrics = idle_metrics()
    for outcome in (
        Done(),
        Done(),
        Retry(reason="503", cause=Cause.ENVIRONMENT),
        Refused(reason="422", http_status=422),
        None,
    ):
        metrics.pushed(outcome, seconds=0.02)
    found = shown(metrics)
    counts = {
        name: found[f'stocksync_pushes_total{{outcome="{name}"}}']
        for name in ("proven", "retry", "refused", "interrupted")
    }
    assert counts == {"proven": 2, "retry": 1, "refused": 1, "interrupted": 1}
    assert found["stocksync_push_duration_seconds_count"] == 5
    assert found["stocksync_push_duration_seconds_sum"] == pytest.approx(0.1)


def test_what_a_settling_did_is_counted() -> None:
    metrics = idle_metrics()
    metrics.settled(
        Settled(lost=frozenset({uuid4(), uuid4()}), completed_ages=(0.02, 4000.0), row_retries=3),
        seconds=0.004,
    )
    metrics.claimed(7, seconds=0.002)
    found = shown(metrics)
    assert found["stocksync_lost_lease_rows_total"] == 2
    assert found["stocksync_row_retries_total"] == 3
    assert found["stocksync_rows_failed_total"] == 0
    assert found["stocksync_claimed_orders_total"] == 7
    assert found['stocksync_end_to_end_seconds_bucket{le="0.025"}'] == 1
    assert found['stocksync_end_to_end_seconds_bucket{le="3600.0"}'] == 1
    assert found['stocksync_end_to_end_seconds_bucket{le="+Inf"}'] == 2
    assert found["stocksync_settle_duration_seconds_sum"] == 0.004
    assert found["stocksync_claim_duration_seconds_count"] == 1


def test_a_value_on_a_bound_is_within_it_and_one_above_all_counts_too() -> None:
    distribution = Distribution((1, 2))
    for value in (0, 1, 1.5, 2, 3):
        distribution.add(value)
    assert [count for _, count in distribution.buckets()] == [2, 4, 5]
    assert distribution.total == 7.5


def test_counting_a_push_takes_no_time() -> None:
    metrics, done, pushes = idle_metrics(), Done(), 20_000
    settled = Settled(completed_ages=(0.1,) * 10)
    best = min(_seconds_of(metrics, done, settled, pushes) for _ in range(5))
    # 0.7 us where nothing else runs.
    assert best / pushes < 10e-6


def _seconds_of(metrics: Metrics, done: Done, settled: Settled, pushes: int) -> float:
    began_at = time.perf_counter()
    for n in range(pushes):
        metrics.pushed(done, seconds=0.01)
        if n % 10 == 0:
            metrics.settled(settled, seconds=0.01)
    return time.perf_counter() - began_at


# --- a relay that is counted ---------------------------------------------------------------------


@pytest.fixture
async def stand_in() -> AsyncIterator[StandIn]:
    async with running_stand_in() as stand_in:
        yield stand_in


async def test_a_relay_at_work_is_counted(dsn: str, outbox: Outbox, stand_in: StandIn) -> None:
    stand_in.inject(
        Fault(effect=Effect(status=500), matches=Matches(route="stock_status"), first=1)
    )
    metrics = idle_metrics()
    await outbox.insert_orders(5, units=2, token_id=TOKEN_ID)
    async with running_relay(dsn, stand_in, meter=metrics) as running:
        await until_all(outbox, "completed")
        assert running.relay.has_claimed
        # Committed, and a moment later counted.
        await until(lambda: shown(metrics)["stocksync_end_to_end_seconds_count"] == 10)
    found = shown(metrics)
    assert found['stocksync_pushes_total{outcome="proven"}'] == 5
    assert found['stocksync_pushes_total{outcome="retry"}'] == 1
    assert found["stocksync_row_retries_total"] == 2
    assert found["stocksync_claimed_orders_total"] == 6
    assert found["stocksync_settle_duration_seconds_count"] >= 2
    assert found["stocksync_claim_duration_seconds_count"] >= 1


@pytest.fixture
async def asker(database: Database) -> AsyncIterator[Asker]:
    async with asking(database) as asker:
        yield asker


async def test_prometheus_reads_them_over_http(asker: Asker, outbox: Outbox) -> None:
    await outbox.insert_orders(3)
    asker.metrics.pushed(Done(), seconds=0.1)
    answered = await asker.get("/metrics")
    assert answered.headers["Content-Type"].startswith("text/plain; version=")
    found = samples(answered.text)
    assert found['stocksync_operations{status="pending"}'] == 3
    assert found['stocksync_pushes_total{outcome="proven"}'] == 1


async def test_without_the_database_the_daemons_own_are_read(
    asker: Asker, database: Database
) -> None:
    await database.__aexit__()
    answered = await asker.get("/metrics")
    assert (answered.status, samples(answered.text)["stocksync_database_up"]) == (200, 0)
