"""Metrics of one daemon: counted while it works, put into Prometheus' words when it asks."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import assert_never

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from stocksync.metrics import families
from stocksync.metrics.distribution import Distribution
from stocksync.metrics.families import counter, gauge, histogram
from stocksync.model import Done, Outcome, Refused, Retry
from stocksync.store import Settled
from stocksync.verdict import Standing

CONTENT_TYPE = CONTENT_TYPE_LATEST

# From a service that is near to the longest call that settings usually allow.
_PUSH_BOUNDS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
# From milliseconds after the INSERT to an outage of a night.
_END_TO_END_BOUNDS = (
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0, 300.0, 900.0, 3600.0, 21_600.0, 86_400.0,
)  # fmt: skip
_STATEMENT_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """Counts what the relay tells it, and shows it together with how the outbox stands.

    `in_flight`, `push_limit` and `is_listening` (None: it is set to poll) are asked at each look.
    """

    def __init__(
        self,
        *,
        version: str,
        in_flight: Callable[[], int],
        push_limit: Callable[[], int],
        is_listening: Callable[[], bool | None],
    ) -> None:
        self._version = version
        self._in_flight = in_flight
        self._push_limit = push_limit
        self._is_listening = is_listening
        self._pushes: Counter[str] = Counter(proven=0, retry=0, refused=0, interrupted=0)
        self._push_seconds = Distribution(_PUSH_BOUNDS)
        self._end_to_end_seconds = Distribution(_END_TO_END_BOUNDS)
        self._claim_seconds = Distribution(_STATEMENT_BOUNDS)
        self._settle_seconds = Distribution(_STATEMENT_BOUNDS)
        self._rows: Counter[str] = Counter()
        self._standing: Standing | None = None
        self._is_database_away = False
        # Its own: two daemons in one process, as in tests, do not meet.
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    # --- told by the relay -----------------------------------------------------------------------

    def pushed(self, outcome: Outcome | None, *, seconds: float) -> None:
        """A push has ended; no outcome: it was broken off."""
        self._pushes[_name(outcome)] += 1
        self._push_seconds.add(seconds)

    def claimed(self, orders: int, *, seconds: float) -> None:
        """A claiming statement took so many orders."""
        self._rows["claimed_orders"] += orders
        self._claim_seconds.add(seconds)

    def settled(self, settled: Settled, *, seconds: float) -> None:
        """A settling statement did this."""
        self._settle_seconds.add(seconds)
        for age in settled.completed_ages:
            self._end_to_end_seconds.add(age)
        self._rows["retries"] += settled.row_retries
        self._rows["failed"] += len(settled.given_up)
        self._rows["lost"] += len(settled.lost)

    # --- shown -----------------------------------------------------------------------------------

    def exposition(self, standing: Standing | None, *, is_database_away: bool = False) -> bytes:
        """All of it as text; no standing: it is not known, and nothing is said of the outbox.

        `is_database_away`: that is why; else it is not known either whether the database is there.
        """
        self._standing = standing
        self._is_database_away = is_database_away
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """The families, for the registry."""
        yield from self._own()
        if self._standing is not None or self._is_database_away:
            yield gauge(
                "database_up",
                "1: the numbers of the outbox could be read; 0: the database is away, or refuses.",
                self._standing is not None,
            )
        if self._standing is not None:
            yield from families.of_standing(self._standing)

    def _own(self) -> Iterable[Metric]:
        yield gauge("build_info", "Which stocksync this is.", {self._version: 1}, label="version")
        yield counter(
            "pushes_total",
            "Pushes of orders by this daemon; interrupted: it had to stop in the middle.",
            self._pushes,
            label="outcome",
        )
        yield histogram("push_duration_seconds", "How long pushes took.", self._push_seconds)
        yield histogram(
            "end_to_end_seconds",
            "Of each row completed by this daemon, the time since its INSERT.",
            self._end_to_end_seconds,
        )
        yield histogram("claim_duration_seconds", "Claiming statements.", self._claim_seconds)
        yield histogram("settle_duration_seconds", "Settling statements.", self._settle_seconds)
        for name, text, key in (
            ("claimed_orders_total", "Orders claimed by this daemon.", "claimed_orders"),
            ("row_retries_total", "Failures that counted as a retry of a row.", "retries"),
            ("rows_failed_total", "Rows that failed for good: they need a person.", "failed"),
            ("lost_lease_rows_total", "Rows that another daemon had taken over.", "lost"),
        ):
            yield counter(name, text, self._rows[key])
        yield gauge("pushes_in_flight", "Pushes of this daemon at this moment.", self._in_flight())
        yield gauge(
            "pushes_limit", "Pushes at once that the service can do with.", self._push_limit()
        )
        is_listening = self._is_listening()
        if is_listening is not None:
            yield gauge("listening", "1: this daemon hears of new rows; 0: deaf.", is_listening)


def _name(outcome: Outcome | None) -> str:
    match outcome:
        case None:
            return "interrupted"
        case Done():
            return "proven"
        case Retry():
            return "retry"
        case Refused():
            return "refused"
        case _:
            assert_never(outcome)
