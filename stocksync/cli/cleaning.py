"""The verb `cleanup`: the timer's work, now; or what it would be."""

from argparse import Namespace

from stocksync import settings
from stocksync.cleanup import Cleaned, Cleanup
from stocksync.cli.layout import count, pairs, span
from stocksync.cli.progress import progress
from stocksync.cli.session import show, verified


async def clean_up(arguments: Namespace) -> None:
    """Delete what is over and old, or (--dry-run) only count it."""
    # Together: what is wrong with either is said at once.
    loaded = settings.load(settings.Database, settings.Cleanup, env_file=arguments.env_file)
    group = loaded[settings.Cleanup]
    # At once: whoever deletes looks closely.
    with progress(quiet_seconds=0) as tell:
        async with verified(arguments) as database:
            cleanup = Cleanup(
                database=database,
                completed_days=group.cleanup_completed_days,
                failed_days=group.cleanup_failed_days,
                balance_days=group.cleanup_balance_days,
                on_progress=lambda deleted: tell(f"{count(deleted, 'operation')} deleted …"),
            )
            cleaned = await (cleanup.count() if arguments.dry_run else cleanup.run())
    document = cleaned.as_result() | {"is_dry_run": arguments.dry_run}
    show(arguments, document, lambda: _text(cleaned, group, is_dry_run=arguments.dry_run))


def _text(cleaned: Cleaned, group: settings.Cleanup, *, is_dry_run: bool) -> str:
    if cleaned.is_nothing:
        return "nothing to clean up"
    said: list[tuple[str, str | None]] = [
        ("orders", _said(cleaned.orders)),
        ("operations", _said(cleaned.operations, "their log entries with them")),
        ("  completed", _kept(cleaned.completed, group.cleanup_completed_days)),
        ("  cancelled", _kept(cleaned.cancelled, group.cleanup_completed_days)),
        ("  failed", _kept(cleaned.failed, group.cleanup_failed_days)),
        ("balances carried", _kept(cleaned.balances_carried, group.cleanup_balance_days)),
        ("balances forgotten", _said(cleaned.balances_forgotten)),
        ("minutes", _said(cleaned.minutes, "of the statistics")),
        ("changes", _said(cleaned.changes, "told to on-call, or too old to be")),
        ("took", None if is_dry_run else span(cleaned.took_seconds)),
    ]
    headline = "would delete" if is_dry_run else "deleted"
    return f"{headline}\n{pairs(said)}"


def _said(number: int, remark: str = "") -> str | None:
    if not number:
        return None
    return f"{number}  ({remark})" if remark else str(number)


def _kept(number: int, days: int) -> str | None:
    return _said(number, f"kept for {count(days, 'day')}")
