"""Settlement: what an outcome makes of a push's rows. The rules of failure, without any I/O."""

from enum import StrEnum
from typing import Any, assert_never
from uuid import UUID

from stocksync.backoff import Backoff
from stocksync.model import Cause, ClaimedRow, Done, Outcome, Push, Refused, Retry, Status, value

# The column's upper bound: without a limit, a row would be tried hourly for a century.
MOST_RETRIES = 1_000_000
# Failures of the environment, as opposed to the order's own.
ENVIRONMENTAL = (Cause.ENVIRONMENT, Cause.CREDENTIALS, Cause.TOKEN)


class Uncounted(StrEnum):
    """When a failure is no retry."""

    PROBE = "probe"
    """Never a retry: a probe goes for all, not for its row."""
    UNPROVEN = "unproven"
    """Unless the service proved something since the row's attempt before this one."""


@value
class RowSettlement:
    """What becomes of one claimed row."""

    id: UUID
    status: Status
    retry_count: int
    delay_seconds: float | None = None
    """Until it is due again; None: the row keeps its time."""
    error: str | None = None
    action: str | None = None
    """What the log says; None: nothing happened to this row."""
    uncounted: Uncounted | None = None
    """When the failure does not count as a retry after all; None: it counts."""
    delay_uncounted_seconds: float | None = None
    """Until it is due again then."""


@value
class Settlement:
    """What becomes of a push: of its rows, and of its order."""

    push: Push
    rows: tuple[RowSettlement, ...]
    is_proven: bool
    is_ambiguous: bool
    order_delay_seconds: float | None
    """Until the order is pushed again for its own sake; None: it is not."""
    details: dict[str, Any]
    """For the log: the attempt's HTTP status, error and duration, and by whose hand."""
    duration_ms: int


class Rules:
    """Turns outcomes into settlements (README: "Failures").

    `max_retries` counts for rows that say nothing of their own; `by` names this daemon in the log.
    """

    def __init__(self, *, backoff: Backoff, max_retries: int, by: str) -> None:
        self._backoff = backoff
        self._max_retries = max_retries
        self._by = by

    def settlement(self, push: Push, outcome: Outcome, *, duration_ms: int) -> Settlement:
        """What `outcome` makes of `push`."""
        details: dict[str, Any] = {"by": self._by, "flag": push.flag, "balance": push.balance}
        if outcome.http_status is not None:
            details["http_status"] = outcome.http_status
        is_ambiguous = False
        order_delay_seconds = None
        match outcome:
            case Done():
                rows = tuple(_completed(row) for row in push.rows)
            case Retry(after_seconds=after):
                delays = _Delays(self._backoff, after)
                uncounted = _uncounted(push, outcome)
                rows = tuple(self._retried(row, outcome, delays, uncounted) for row in push.rows)
                details |= {"error": outcome.reason, "cause": outcome.cause}
                is_ambiguous = outcome.is_ambiguous
                if push.attempt is not None:
                    order_delay_seconds = delays.seconds(push.attempt + 1)
            case Refused():
                rows = tuple(_refused(row, outcome) for row in push.rows)
                details["error"] = outcome.reason
                if push.attempt is not None:
                    # Nobody else would set this flag right: it is tried on, ever more rarely.
                    order_delay_seconds = self._backoff.delay_seconds(push.attempt + 1)
            case _:
                assert_never(outcome)
        return Settlement(
            push=push,
            rows=rows,
            is_proven=isinstance(outcome, Done),
            is_ambiguous=is_ambiguous,
            order_delay_seconds=order_delay_seconds,
            details=details,
            duration_ms=duration_ms,
        )

    def interrupted(self, push: Push, *, duration_ms: int) -> Settlement:
        """The daemon had to stop in the middle of `push`: no retry counts, anything may arrive."""
        return Settlement(
            push=push,
            rows=tuple(_interrupted(row) for row in push.rows),
            is_proven=False,
            is_ambiguous=True,
            order_delay_seconds=None if push.attempt is None else 0,
            details={"by": self._by, "error": "the daemon was stopped during the push"},
            duration_ms=duration_ms,
        )

    def _retried(
        self, row: ClaimedRow, outcome: Retry, delays: "_Delays", uncounted: Uncounted | None
    ) -> RowSettlement:
        if not row.is_due:
            return _kept(row)
        delay_uncounted_seconds = delays.seconds(max(row.retry_count, 1)) if uncounted else None
        limit = self._max_retries if row.max_retries is None else row.max_retries
        if limit >= 0 and row.retry_count >= limit:
            return RowSettlement(
                id=row.id,
                status=Status.FAILED,
                retry_count=row.retry_count,
                error=outcome.reason,
                action="failed",
                uncounted=uncounted,
                delay_uncounted_seconds=delay_uncounted_seconds,
            )
        return RowSettlement(
            id=row.id,
            status=Status.PENDING,
            retry_count=min(row.retry_count + 1, MOST_RETRIES),
            delay_seconds=delays.seconds(row.retry_count + 1),
            error=outcome.reason,
            action="retry",
            uncounted=uncounted,
            delay_uncounted_seconds=delay_uncounted_seconds,
        )


def _uncounted(push: Push, outcome: Retry) -> Uncounted | None:
    if push.is_probe:
        return Uncounted.PROBE
    return Uncounted.UNPROVEN if outcome.cause in ENVIRONMENTAL else None


class _Delays:
    """One delay per retry number within a push: an order's rows stay together in one PATCH."""

    def __init__(self, backoff: Backoff, after_seconds: float | None) -> None:
        self._backoff = backoff
        self._after_seconds = after_seconds
        self._by_retry: dict[int, float] = {}

    def seconds(self, retry_number: int) -> float:
        if retry_number not in self._by_retry:
            self._by_retry[retry_number] = self._backoff.delay_seconds(
                retry_number, self._after_seconds
            )
        return self._by_retry[retry_number]


def _completed(row: ClaimedRow) -> RowSettlement:
    return RowSettlement(
        id=row.id, status=Status.COMPLETED, retry_count=row.retry_count, action="completed"
    )


def _refused(row: ClaimedRow, outcome: Refused) -> RowSettlement:
    if not row.is_due:
        return _kept(row)
    return RowSettlement(
        id=row.id,
        status=Status.FAILED,
        retry_count=row.retry_count,
        error=outcome.reason,
        action="failed",
    )


def _interrupted(row: ClaimedRow) -> RowSettlement:
    return RowSettlement(
        id=row.id, status=Status.PENDING, retry_count=row.retry_count, action="interrupted"
    )


def _kept(row: ClaimedRow) -> RowSettlement:
    """A row that came along before its time: no failure counts for it, it keeps its time."""
    return RowSettlement(id=row.id, status=Status.PENDING, retry_count=row.retry_count)
