"""Families: how the outbox stands, in Prometheus' words. The same from every daemon."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from stocksync.metrics.distribution import Distribution
from stocksync.verdict import CircuitSeen, Numbers, Standing, TelegramSeen, TimerSeen, Verdict

_PREFIX = "stocksync_"


def gauge(
    name: str, text: str, value: float | Mapping[str, float], *, label: str | None = None
) -> Metric:
    """A value that goes up and down; by a label, one for each of its values."""
    family = GaugeMetricFamily(_PREFIX + name, text, labels=[label] if label else [])
    _add(family, value)
    return family


def counter(
    name: str, text: str, value: float | Mapping[str, float], *, label: str | None = None
) -> Metric:
    """A value that only grows, since this daemon started."""
    family = CounterMetricFamily(_PREFIX + name, text, labels=[label] if label else [])
    _add(family, value)
    return family


def histogram(name: str, text: str, values: Distribution) -> Metric:
    """How values were distributed, since this daemon started."""
    buckets = [
        ("+Inf" if math.isinf(bound) else str(bound), count) for bound, count in values.buckets()
    ]
    return HistogramMetricFamily(_PREFIX + name, text, buckets=buckets, sum_value=values.total)


def of_standing(standing: Standing) -> Iterable[Metric]:
    """All that is known of the outbox; what is not known is left out, not 0."""
    yield gauge(
        "verdict",
        "1 for the verdict that `stocksync status` gives now, 0 for the others.",
        {each.value: each is standing.verdict for each in Verdict},
        label="verdict",
    )
    yield from _of_rows(standing.numbers)
    yield from _of_flow(standing.numbers)
    yield from _of_circuits(standing.circuits)
    alive = [daemon for daemon in standing.daemons if daemon.is_alive]
    yield gauge("daemons_alive", "Daemons that were seen within 15 s.", len(alive))
    yield gauge(
        "daemons_deaf",
        "Of these, those that should hear of new rows and do not.",
        sum(daemon.is_listening is False for daemon in alive),
    )
    yield from _of_timers(standing.timers)
    yield from _of_telegram(standing.telegram, standing.numbers)
    snapshot = standing.oldest_snapshot
    if snapshot is not None or not standing.is_snapshot_hidden:
        yield gauge(
            "oldest_snapshot_age_seconds",
            "How long a session has kept dead rows from being cleaned away; 0: none for a minute.",
            snapshot.age_seconds if snapshot else 0,
        )


def _of_rows(numbers: Numbers) -> Iterable[Metric]:
    yield gauge(
        "operations",
        "Operations that are not done, by status.",
        {
            "pending": numbers.pending,
            "processing": numbers.processing,
            "failed": numbers.failed,
        },
        label="status",
    )
    for name, text, value in (
        ("due_rows", "Rows that may be claimed now.", numbers.due_rows),
        ("due_orders", "Orders that may be pushed again now.", numbers.due_orders),
        ("held_rows", "Rows that are due, but held up by circuit or pause.", numbers.waiting_rows),
        ("retrying_rows", "Pending rows that failed before, not held up.", numbers.retrying),
        ("stale_rows", "Rows not done so many hours after their INSERT.", numbers.stale),
        ("ambiguous_orders", "Orders whose flag has to be read again.", numbers.ambiguous_orders),
        (
            "oldest_due_age_seconds",
            "How long something that may be claimed has been due; 0: nothing is.",
            numbers.oldest_due_seconds or 0,
        ),
    ):
        yield gauge(name, text, value)


def _of_flow(numbers: Numbers) -> Iterable[Metric]:
    for name, text, value in (
        ("backlog_seconds", "How long the due rows take at this rate.", numbers.backlog_seconds),
        ("failure_ratio", "Pushes not proven, of those lately.", numbers.failure_rate),
        ("first_try_ratio", "Of a day's completed rows: one attempt.", numbers.first_try_share),
        ("retry_mean_seconds", "INSERT to done, of the others.", numbers.mean_retry_seconds),
        ("last_completed_timestamp_seconds", "When one was.", _epoch(numbers.last_completed_at)),
    ):
        if value is not None:
            yield gauge(name, text, value)


def _of_circuits(circuits: Iterable[CircuitSeen]) -> Iterable[Metric]:
    # Not by account: a thousand parked ones would be a thousand series.
    is_open, paused = Counter(service=0, account=0), Counter(all=0, account=0)
    for circuit in circuits:
        is_open["service" if circuit.is_service else "account"] += circuit.is_open
        paused["all" if circuit.is_service else "account"] += circuit.is_paused
    yield gauge(
        "circuits_open",
        "Open circuits: of the service (an outage), of accounts (parked).",
        is_open,
        label="scope",
    )
    yield gauge("paused", "Pauses by hand: of everything, of accounts.", paused, label="scope")


def _of_timers(timers: Iterable[TimerSeen]) -> Iterable[Metric]:
    by_name = {timer.name: timer for timer in timers}
    yield gauge(
        "timer_overdue",
        "1: a turn has been due for an interval, and nobody took it.",
        {name: timer.is_overdue for name, timer in by_name.items()},
        label="timer",
    )
    yield gauge(
        "timer_failed",
        "1: the last turn ended with an error.",
        {name: timer.error is not None for name, timer in by_name.items()},
        label="timer",
    )
    yield gauge(
        "timer_last_success_timestamp_seconds",
        "The start of the last turn that ended well.",
        {n: epoch for n, t in by_name.items() if (epoch := _epoch(t.succeeded_at)) is not None},
        label="timer",
    )
    for name, what in (("reconcile", "orders"), ("cleanup", "what was deleted")):
        timer = by_name.get(name)
        if timer is not None and timer.result is not None:
            counts = {n: v for n, v in timer.result.items() if isinstance(v, int | float)}
            text = f"What the last turn of {name} counted: {what}."
            yield gauge(f"{name}_last_turn", text, counts, label="counted")


def _of_telegram(telegram: TelegramSeen, numbers: Numbers) -> Iterable[Metric]:
    oldest = telegram.oldest_unsent_at
    for name, text, value in (
        ("unsent_changes", "Changes of state not told to every chat yet.", telegram.unsent),
        (
            "oldest_unsent_age_seconds",
            "How long the first of them has waited; 0: none does.",
            0 if oldest is None else max(0.0, numbers.ago(oldest)),
        ),
        ("refused", "1: Telegram takes nothing from us.", telegram.refused is not None),
        ("muted", "1: somebody wished for silence.", telegram.muted_until is not None),
    ):
        yield gauge(f"telegram_{name}", text, value)


def _add(
    family: GaugeMetricFamily | CounterMetricFamily, value: float | Mapping[str, float]
) -> None:
    if isinstance(value, Mapping):
        for label, each in value.items():
            family.add_metric([label], float(each))
    else:
        family.add_metric([], float(value))


def _epoch(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()
