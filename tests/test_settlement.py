"""The rules of failure, as a table."""

from uuid import UUID, uuid4

import pytest

from stocksync.backoff import Backoff
from stocksync.model import Cause, ClaimedRow, Done, Outcome, Push, Refused, Retry, Status
from stocksync.settlement import RowSettlement, Rules, Settlement, Uncounted

BACKOFF = Backoff(initial_seconds=60, max_seconds=3600, jitter=False)
RULES = Rules(backoff=BACKOFF, max_retries=2, by="daemon")
RETRY = Retry(reason="500", cause=Cause.OPERATION, http_status=500)
AWAY = Retry(reason="503", cause=Cause.ENVIRONMENT, http_status=503)
REFUSED = Refused(reason="not a UUID", http_status=422)


def row(*, retries: int = 0, limit: int | None = None, is_due: bool = True) -> ClaimedRow:
    return ClaimedRow(id=uuid4(), is_due=is_due, retry_count=retries, max_retries=limit)


def settle(
    *rows: ClaimedRow,
    outcome: Outcome,
    rules: Rules = RULES,
    attempt: int | None = None,
    is_probe: bool = False,
) -> Settlement:
    push = Push(
        token_id="t",
        order_id="o",
        balance=1,
        rows=rows,
        failed_ids=(),
        is_order_claimed=attempt is not None,
        attempt=attempt,
        is_probe=is_probe,
        claim_token=UUID(int=1),
    )
    return rules.settlement(push, outcome, duration_ms=12)


@pytest.mark.parametrize(
    ("before", "outcome", "status", "retry_count", "delay_seconds", "action"),
    [
        (row(), Done(), Status.COMPLETED, 0, None, "completed"),
        (row(retries=2), Done(), Status.COMPLETED, 2, None, "completed"),
        (row(is_due=False), Done(), Status.COMPLETED, 0, None, "completed"),
        (row(), RETRY, Status.PENDING, 1, 60, "retry"),
        (row(retries=1), RETRY, Status.PENDING, 2, 120, "retry"),
        (row(retries=2), RETRY, Status.FAILED, 2, None, "failed"),
        (row(limit=0), RETRY, Status.FAILED, 0, None, "failed"),
        (row(retries=2, limit=9), RETRY, Status.PENDING, 3, 240, "retry"),
        (row(retries=10_000, limit=-1), RETRY, Status.PENDING, 10_001, 3600, "retry"),
        (row(is_due=False), RETRY, Status.PENDING, 0, None, None),
        (row(retries=2, is_due=False), RETRY, Status.PENDING, 2, None, None),
        (row(), REFUSED, Status.FAILED, 0, None, "failed"),
        (row(retries=1, limit=-1), REFUSED, Status.FAILED, 1, None, "failed"),
        (row(is_due=False), REFUSED, Status.PENDING, 0, None, None),
    ],
)
def test_what_an_outcome_makes_of_a_row(
    before: ClaimedRow,
    outcome: Outcome,
    status: Status,
    retry_count: int,
    delay_seconds: float | None,
    action: str | None,
) -> None:
    [after] = settle(before, outcome=outcome).rows
    failed = action in {"retry", "failed"}
    assert after == RowSettlement(
        id=before.id,
        status=status,
        retry_count=retry_count,
        delay_seconds=delay_seconds,
        error=outcome.reason if failed and not isinstance(outcome, Done) else None,
        action=action,
    )


def test_a_setting_of_minus_1_retries_without_limit() -> None:
    rules = Rules(backoff=BACKOFF, max_retries=-1, by="daemon")
    [after] = settle(row(retries=99), outcome=RETRY, rules=rules).rows
    assert after.status is Status.PENDING


def test_rows_of_one_order_stay_together_when_they_are_retried() -> None:
    rules = Rules(backoff=Backoff(initial_seconds=60, max_seconds=3600), max_retries=5, by="d")
    settled = settle(*(row() for _ in range(10)), outcome=RETRY, rules=rules)
    assert len({after.delay_seconds for after in settled.rows}) == 1


def test_a_retry_waits_for_what_the_service_asked_for() -> None:
    asked = Retry(reason="429", cause=Cause.ENVIRONMENT, http_status=429, after_seconds=300)
    [after] = settle(row(), outcome=asked).rows
    assert after.delay_seconds == 300


@pytest.mark.parametrize("cause", [Cause.ENVIRONMENT, Cause.CREDENTIALS, Cause.TOKEN])
def test_a_failure_of_the_environment_counts_only_if_something_was_proven_since(
    cause: Cause,
) -> None:
    [after] = settle(row(retries=2), outcome=Retry(reason="x", cause=cause)).rows
    assert after.uncounted is Uncounted.UNPROVEN
    assert after.delay_uncounted_seconds == 120, "as long as it waited before"
    [first] = settle(row(), outcome=Retry(reason="x", cause=cause)).rows
    assert first.delay_uncounted_seconds == 60


@pytest.mark.parametrize("outcome", [RETRY, AWAY])
def test_the_failure_of_a_probe_is_no_retry(outcome: Outcome) -> None:
    [after] = settle(row(), outcome=outcome, is_probe=True).rows
    assert after.uncounted is Uncounted.PROBE


@pytest.mark.parametrize("outcome", [RETRY, REFUSED])
def test_an_order_pushed_for_its_own_sake_is_tried_again_for_ever(outcome: Outcome) -> None:
    assert settle(outcome=outcome, attempt=3).order_delay_seconds == 480
    assert settle(outcome=outcome, attempt=10_000).order_delay_seconds == 3600
    assert settle(row(), outcome=outcome).order_delay_seconds is None
    assert settle(outcome=Done(), attempt=3).order_delay_seconds is None


def test_the_log_says_status_error_cause_flag_and_by_whose_hand() -> None:
    assert settle(row(), outcome=RETRY).details == {
        "by": "daemon",
        "flag": True,
        "balance": 1,
        "http_status": 500,
        "error": "500",
        "cause": "operation",
    }
    assert settle(row(), outcome=Done()).details == {
        "by": "daemon",
        "flag": True,
        "balance": 1,
        "http_status": 200,
    }
