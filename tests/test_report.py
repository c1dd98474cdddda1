"""The daily report: the 24 hours before its time, in numbers that can be checked by hand."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from stocksync.changes import Kind, Phase
from stocksync.database import Database
from stocksync.monitor import Monitor
from tests.outbox import ACCOUNT, OTHER_ACCOUNT, Outbox
from tests.test_monitor import monitor

UNTIL = datetime(2026, 3, 2, 6, 30, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def reporting(database: Database) -> Monitor:
    return monitor(database)


@pytest.fixture
async def other_database(dsn: str) -> AsyncIterator[Database]:
    """Another daemon's."""
    async with Database(url=dsn) as database:
        yield database


@pytest.fixture
async def another(dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close()


async def minute(outbox: Outbox, at: datetime, **counts: Any) -> None:  # noqa: ANN401 - columns
    names = ", ".join(counts)
    places = ", ".join(f"${n}" for n in range(2, len(counts) + 2))
    await outbox.connection.execute(
        f"INSERT INTO stock_sync_minutes (minute, {names}) VALUES ($1, {places})",
        at,
        *counts.values(),
    )


async def completed(outbox: Outbox, token_id: str, at: datetime, seconds: int) -> None:
    await outbox.connection.execute(
        "INSERT INTO pending_stock_operations (token_id, order_id, sku, quantity) "
        " VALUES ($1, 'order', 'A', 1)",
        token_id,
    )
    await outbox.connection.execute(
        "UPDATE pending_stock_operations SET status = 'completed', completed_at = $1,"
        " created_at = $1::timestamptz - $2 * interval '1 second' WHERE status = 'pending'",
        at,
        seconds,
    )


async def test_a_report_is_of_the_24_hours_before_its_time(
    reporting: Monitor, outbox: Outbox
) -> None:
    begun = UNTIL - timedelta(hours=24)
    # Just outside, on both sides.
    await minute(outbox, begun - timedelta(minutes=1), orders_pushed=1000, rows_completed=1000)
    await minute(outbox, UNTIL, orders_pushed=1000, rows_completed=1000, due_rows=1000)
    await minute(
        outbox,
        begun,
        orders_pushed=10,
        rows_completed=30,
        rows_first_try=28,
        retried_seconds=120.0,
        row_retries=3,
        rows_failed=1,
        due_rows=5,
        discrepancies_found=3,
        discrepancies_repaired=2,
    )
    await minute(
        outbox,
        UNTIL - timedelta(minutes=1),
        orders_pushed=5,
        rows_completed=10,
        rows_first_try=8,
        retried_seconds=80.0,
        due_rows=9,
    )
    await minute(outbox, datetime(2026, 3, 1, 23, 5, tzinfo=UTC), rows_completed=0, due_rows=70)
    for token_id, seconds in ((ACCOUNT, 1), (OTHER_ACCOUNT, 30), (OTHER_ACCOUNT, 90)):
        await completed(outbox, token_id, UNTIL - timedelta(hours=3), seconds)
    await completed(outbox, ACCOUNT, begun - timedelta(minutes=1), 5000)

    change = await reporting.report(UNTIL, UNTIL)
    assert change is not None
    assert (change.kind, change.phase, change.at) == (Kind.DAILY_REPORT, Phase.HAPPENED, UNTIL)
    hours = change.facts.pop("hours")
    assert change.facts == {
        "day": "2026-03-01",
        "orders_pushed": 15,
        "rows_completed": 40,
        "first_try_share": 0.9,
        "row_retries": 3,
        "mean_retry_seconds": 50.0,
        "rows_failed": 1,
        "failed_now": 0,
        "discrepancies_found": 3,
        "discrepancies_repaired": 2,
        "slowest_account": {"token_id": OTHER_ACCOUNT, "mean_seconds": 60.0, "rows": 2},
    }
    assert [each["hour"] for each in hours] == list(range(24))
    # Half of it of the one day, half of the other.
    assert hours[6] == {"hour": 6, "rows_completed": 40, "due_rows": 9}
    assert hours[23] == {"hour": 23, "rows_completed": 0, "due_rows": 70}
    assert hours[12] == {"hour": 12, "rows_completed": 0, "due_rows": 0}


async def test_a_report_of_a_day_without_rows_says_so(reporting: Monitor) -> None:
    change = await reporting.report(UNTIL, UNTIL)
    assert change is not None
    for name in ("first_try_share", "mean_retry_seconds", "slowest_account"):
        assert change.facts[name] is None
    assert (change.facts["rows_completed"], len(change.facts["hours"])) == (0, 24)


async def test_a_day_is_reported_once_whoever_has_the_turn_again(
    reporting: Monitor, database: Database, outbox: Outbox
) -> None:
    assert await reporting.report(UNTIL, UNTIL) is not None
    assert await monitor(database).report(UNTIL, UNTIL) is None
    assert await monitor(database).report(UNTIL + DAY, UNTIL + DAY) is not None
    rows = await outbox.connection.fetch(
        "SELECT facts ->> 'day' AS day FROM stock_sync_changes WHERE kind = 'daily_report'"
    )
    assert [row["day"] for row in rows] == ["2026-03-01", "2026-03-02"]


async def test_two_reports_at_once_are_one(
    database: Database,
    other_database: Database,
    outbox: Outbox,
    another: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    async with another.transaction():
        # Both read, and neither can write yet.
        await another.execute("LOCK TABLE stock_sync_changes IN EXCLUSIVE MODE")
        reports = [
            asyncio.create_task(monitor(each).report(UNTIL, UNTIL))
            for each in (database, other_database)
        ]
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        async with asyncio.timeout(30):
            while await outbox.connection.fetchval(waiting) < len(reports):
                await asyncio.sleep(0.01)
    changes = await asyncio.gather(*reports)
    assert sum(change is not None for change in changes) == 1


@pytest.mark.parametrize(
    ("late", "until"),
    [
        (timedelta(0), UNTIL),
        (timedelta(hours=23, minutes=59), UNTIL),
        (DAY, UNTIL + DAY),
        (timedelta(days=3, hours=2), UNTIL + 3 * DAY),
    ],
)
async def test_after_days_without_a_daemon_the_newest_day_is_reported_and_not_the_oldest(
    reporting: Monitor, outbox: Outbox, late: timedelta, until: datetime
) -> None:
    await minute(outbox, until - timedelta(hours=1), rows_completed=7)
    change = await reporting.report(UNTIL, UNTIL + late)
    assert change is not None
    assert (change.at, change.facts["rows_completed"]) == (until, 7)
    assert change.facts["day"] == (until - DAY).date().isoformat()


@pytest.mark.parametrize(
    ("hour", "day"), [(0, "2026-03-01"), (9, "2026-03-01"), (12, "2026-03-02"), (23, "2026-03-02")]
)
async def test_a_report_is_named_by_the_day_that_most_of_it_was(
    reporting: Monitor, hour: int, day: str
) -> None:
    until = datetime(2026, 3, 2, hour, 0, tzinfo=UTC)
    change = await reporting.report(until, until)
    assert change is not None
    assert change.facts["day"] == day


async def test_without_telegram_the_report_is_a_line_in_the_log(
    database: Database, outbox: Outbox
) -> None:
    with capture_logs() as events:
        await monitor(database, is_telling=False).report(UNTIL, UNTIL)
    [line] = [each for each in events if each["event"] == "monitor.noticed"]
    assert (line["kind"], line["day"], line["log_level"]) == ("daily_report", "2026-03-01", "info")
    assert "hours" not in line
    assert await outbox.connection.fetchval("SELECT count(*) FROM stock_sync_changes") == 0
