"""Monitor: its turns notice each change of state once over all daemons; and the daily report."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from stocksync.changes import CRITICAL, Change, Kind, Phase
from stocksync.conditions import Condition, Rules, decide
from stocksync.database import Connection, Database
from stocksync.monitor.happenings import discrepancies, happenings
from stocksync.monitor.measuring import Taken, take
from stocksync.operations import Operations
from stocksync.telemetry import get_logger
from stocksync.verdict import Limits, Standing

log = get_logger()

# A look at every row of a large table, once a day.
REPORT_SECONDS = 120.0
DAY = timedelta(days=1)
# What the log has no use for.
UNLOGGED = ("operation_ids", "hours", "examples", "errors")


class Monitor:
    """Measures, notices and remembers (README: "What on-call is told").

    `limits` and `repeat_minutes` say what is a change, `alert_on_failed` whether rows that failed
    for good are; `auto_fix_hours` is reconciling's. `is_telling`: changes are stored for delivery,
    and `on_change` hears of it; without, they are logged alone. Raises `DatabaseUnavailable`;
    nothing was noticed then.
    """

    def __init__(
        self,
        *,
        database: Database,
        operations: Operations,
        limits: Limits,
        repeat_minutes: int,
        alert_on_failed: bool,
        auto_fix_hours: int,
        is_telling: bool,
        on_change: Callable[[], None],
    ) -> None:
        self._database = database
        self._operations = operations
        self._limits = limits
        self._alert_on_failed = alert_on_failed
        self._auto_fix_hours = auto_fix_hours
        self._is_telling = is_telling
        self._on_change = on_change
        self._rules = Rules(
            max_pending=limits.max_pending,
            stale_hours=limits.stale_hours,
            failure_rate_threshold=limits.failure_rate_threshold,
            failure_rate_window_minutes=limits.failure_rate_window_minutes,
            repeat_minutes=repeat_minutes,
            lease_seconds=limits.lease_seconds,
        )

    async def run(self) -> dict[str, Any]:
        """One turn; what it saw, in JSON's types. Two at once, by mistake, follow each other."""
        standing = await self._operations.status(limits=self._limits)
        async with (
            self._database.reading() as connection,
            # What the daemons add to the minutes meanwhile is no conflict.
            connection.transaction(isolation="read_committed"),
        ):
            taken = await take(connection, self._database, standing)
            changes = await self._notice(connection, taken, standing)
        self._tell(changes)
        return {
            "verdict": standing.verdict.value,
            "pending": standing.numbers.pending,
            "due_rows": standing.numbers.due_rows,
            "changes": len(changes),
        }

    async def report(self, due_at: datetime, started_at: datetime) -> Change | None:
        """The daily report of the 24 hours before it was due; None: that day was reported already.

        `started_at`: when the turn began. That may be days later; of the days that nobody was there
        to report, the newest is told.
        """
        until = due_at + (started_at - due_at) // DAY * DAY
        # Of the date that most of it was.
        day = (until - timedelta(hours=12)).date().isoformat()
        async with (
            self._database.reading() as connection,
            connection.transaction(isolation="read_committed"),
        ):
            hours = await connection.fetch(self._database.query("report_hours"), until)
            slowest = await connection.fetch(
                self._database.query("report_slowest"), until, timeout=REPORT_SECONDS
            )
            await connection.execute(self._database.query("monitor_lock"))
            [sums] = await connection.fetch(self._database.query("report_sums"), until, day)
            if sums["is_told"]:
                return None
            change = Change(
                at=until,
                kind=Kind.DAILY_REPORT,
                phase=Phase.HAPPENED,
                facts={
                    "day": day,
                    **{name: value for name, value in sums.items() if name != "is_told"},
                    "slowest_account": dict(slowest[0]) if slowest else None,
                    "hours": [dict(hour) for hour in hours],
                },
            )
            await self._store(connection, [change])
        self._tell([change])
        return change

    async def _notice(
        self, connection: Connection, taken: Taken, standing: Standing
    ) -> Sequence[Change]:
        decided = decide(taken.memory, taken.measured, self._rules)
        happened = happenings(
            taken.events,
            now=taken.measured.now,
            failed_now=standing.numbers.failed,
            alert_on_failed=self._alert_on_failed,
            auto_fix_hours=self._auto_fix_hours,
        )
        changes = (*decided.changes, *happened)
        await self._remember(connection, taken.memory, decided.conditions)
        await self._store(connection, changes)
        found = discrepancies(taken.events)
        numbers = standing.numbers
        await connection.execute(
            self._database.query("monitor_observe"),
            numbers.due_rows + numbers.waiting_rows,
            numbers.oldest_due_seconds,
            found.get("found", 0),
            found.get("repaired", 0),
        )
        return changes

    async def _remember(
        self, connection: Connection, before: Sequence[Condition], after: Sequence[Condition]
    ) -> None:
        kept = {condition.key for condition in after}
        for gone in (condition for condition in before if condition.key not in kept):
            await connection.execute(self._database.query("conditions_forget"), *gone.key)
        for condition in after:
            if condition not in before:
                await connection.execute(
                    self._database.query("conditions_save"),
                    *condition.key,
                    condition.since,
                    condition.told_at,
                    condition.ended_at,
                    json.dumps(condition.details, ensure_ascii=False),
                )

    async def _store(self, connection: Connection, changes: Sequence[Change]) -> None:
        if not self._is_telling:
            return
        for change in changes:
            await connection.execute(
                self._database.query("changes_add"),
                change.at,
                change.kind,
                change.phase,
                change.token_id,
                json.dumps(change.facts, ensure_ascii=False, allow_nan=False),
            )

    def _tell(self, changes: Sequence[Change]) -> None:
        for change in changes:
            facts = {name: v for name, v in change.facts.items() if name not in UNLOGGED}
            of = {"of": change.token_id} if change.token_id else {}
            said = {"kind": change.kind.value, "phase": change.phase.value, **of, **facts}
            if change.phase is Phase.ENDED or change.kind is Kind.DAILY_REPORT:
                log.info("monitor.noticed", **said)
            elif change.kind in CRITICAL:
                log.error("monitor.noticed", **said)
            else:
                log.warning("monitor.noticed", **said)
        if changes and self._is_telling:
            self._on_change()
