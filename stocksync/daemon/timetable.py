"""Timetable: what runs once per interval over all daemons, and how often."""

from collections.abc import Awaitable, Callable
from typing import Any

from stocksync import settings
from stocksync.cleanup import Cleanup
from stocksync.database import Database
from stocksync.gateway import Gateway
from stocksync.loop import Loop
from stocksync.monitor import Monitor
from stocksync.reconcile import VERIFY_SECONDS, Reconcile
from stocksync.timers import Timer, Timers, Turn

DAY_SECONDS = 86_400
# By this name `Timers.ask` has it run at once.
RECONCILE = "reconcile"
REPORT = "report"


class Timetable:
    """The timers of this daemon, a loop each; those that are switched off are retired."""

    def __init__(
        self,
        loaded: settings.Loaded,
        *,
        database: Database,
        gateway: Gateway,
        monitor: Monitor,
        timers: Timers,
        by: str,
    ) -> None:
        self._timers = timers
        self._monitor = monitor
        self._reconcile = _reconcile(loaded, database=database, gateway=gateway, by=by)
        self._cleanup = _cleanup(loaded, database=database)
        monitoring, reconciling = loaded[settings.Monitoring], loaded[settings.Reconciliation]
        self.loops = [
            self._loop("monitor", monitoring.monitoring_interval_seconds, self._watch),
            self._loop("verify", VERIFY_SECONDS, self._verify),
            self._loop(
                "cleanup", 3600 * loaded[settings.Cleanup].cleanup_interval_hours, self._clean
            ),
        ]
        self._retired: list[str] = []
        if reconciling.reconciliation_enabled:
            minutes = reconciling.reconciliation_interval_minutes
            self.loops.append(self._loop(RECONCILE, 60 * minutes, self._compare))
        else:
            self._retired.append(RECONCILE)
        if monitoring.daily_report_time is not None:
            at = monitoring.daily_report_time
            self.loops.append(self._loop(REPORT, DAY_SECONDS, self._report, at=at))
        else:
            self._retired.append(REPORT)

    async def retire(self) -> None:
        """Forget what was switched off since: it would be overdue for ever."""
        for name in self._retired:
            await self._timers.retire(name)

    def wake(self) -> None:
        """Somebody may have asked for a turn."""
        for loop in self.loops:
            if loop.name == RECONCILE:
                loop.wake()

    def _loop(
        self,
        name: str,
        interval_seconds: int,
        run: Callable[[Turn], Awaitable[dict[str, Any]]],
        *,
        at: str | None = None,
    ) -> Loop:
        timer = Timer(
            timers=self._timers, name=name, interval_seconds=interval_seconds, run=run, at=at
        )
        return Loop(name, timer.tick)

    async def _watch(self, _: Turn) -> dict[str, Any]:
        return await self._monitor.run()

    async def _compare(self, turn: Turn) -> dict[str, Any]:
        report = await self._reconcile.run(
            succeeded_at=turn.succeeded_at,
            started_at=turn.started_at,
            is_asked=turn.asked_for is not None,
            asked_by=turn.asked_by,
            token_id=(turn.asked_for or {}).get("token_id"),
        )
        return report.as_result()

    async def _verify(self, _: Turn) -> dict[str, Any]:
        return (await self._reconcile.verify()).as_result()

    async def _clean(self, _: Turn) -> dict[str, Any]:
        return (await self._cleanup.run()).as_result()

    async def _report(self, turn: Turn) -> dict[str, Any]:
        # The turn is had again when its end could not be written: a day is told once all the same.
        change = await self._monitor.report(turn.due_at, turn.started_at)
        return {"until": turn.due_at.isoformat(), "is_told": change is not None}


def _reconcile(
    loaded: settings.Loaded, *, database: Database, gateway: Gateway, by: str
) -> Reconcile:
    group = loaded[settings.Reconciliation]
    return Reconcile(
        database=database,
        service=gateway,
        batch_size=group.reconciliation_batch_size,
        threshold_hours=group.reconciliation_auto_fix_threshold_hours,
        by=by,
    )


def _cleanup(loaded: settings.Loaded, *, database: Database) -> Cleanup:
    group = loaded[settings.Cleanup]
    return Cleanup(
        database=database,
        completed_days=group.cleanup_completed_days,
        failed_days=group.cleanup_failed_days,
        balance_days=group.cleanup_balance_days,
    )
