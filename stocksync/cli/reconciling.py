"""The verb `reconcile`: compare both sides now, and say what differs."""

from argparse import Namespace
from dataclasses import asdict
from typing import Any

from stocksync import settings
from stocksync.cli.layout import count, pairs, utc
from stocksync.cli.progress import progress
from stocksync.cli.session import show, verified, whose_hand
from stocksync.cli.tables import table
from stocksync.daemon.opening import open_gateway
from stocksync.reconcile import Act, Discrepancy, EndedEarly, Reconcile, Report

_HEAD = ("ORDER", "ACCOUNT", "WANTED", "AT SERVICE", "SETTLED (UTC)", "DONE")


async def reconcile(arguments: Namespace) -> None:
    """Compare, and repair what may be, or (--dry-run) only say it."""
    # Together: what is wrong with any is said at once.
    loaded = settings.load(
        settings.Database, settings.Service, settings.Reconciliation, env_file=arguments.env_file
    )
    group = loaded[settings.Reconciliation]
    threshold_hours = group.reconciliation_auto_fix_threshold_hours
    ended_early: EndedEarly | None = None
    async with (
        verified(arguments) as database,
        open_gateway(loaded[settings.Service], database=database) as gateway,
    ):
        comparing = Reconcile(
            database=database,
            service=gateway,
            batch_size=group.reconciliation_batch_size,
            threshold_hours=threshold_hours,
            by=whose_hand(),
        )
        with progress() as tell:
            try:
                report = await comparing.sweep(
                    token_id=arguments.token,
                    is_dry_run=arguments.dry_run,
                    told=lambda checked, found: tell(
                        f"{count(checked, 'order')} compared, {found} differ …"
                    ),
                )
            except EndedEarly as error:
                ended_early, report = error, error.report
    show(
        arguments,
        _document(report, ended_early, is_dry_run=arguments.dry_run),
        lambda: _text(report, threshold_hours=threshold_hours, is_dry_run=arguments.dry_run),
    )
    if ended_early is not None:
        raise ended_early


def _document(
    report: Report, ended_early: EndedEarly | None, *, is_dry_run: bool
) -> dict[str, Any]:
    return report.as_result() | {
        "is_dry_run": is_dry_run,
        "ended_early": None if ended_early is None else ended_early.reason,
        "discrepancies": [asdict(each) for each in report.discrepancies],
    }


def _text(report: Report, *, threshold_hours: int, is_dry_run: bool) -> str:
    acts = {
        Act.REPAIRED: "would be pushed again" if is_dry_run else "pushed again",
        Act.LEFT: f"left: older than {threshold_hours} h",
        Act.GIVEN_UP: "given up: flipped back again and again",
    }
    counts = pairs(
        [
            ("checked", str(report.checked)),
            ("found", str(report.found)),
            ("to repair" if is_dry_run else "repaired", _if_any(report.repaired)),
            ("left", _if_any(report.left, f"settled more than {threshold_hours} h ago")),
            ("given up", _if_any(report.given_up, "for a day after the last repair")),
            (
                "skipped",
                _if_any(report.skipped, "not settled, changing, account held up, or unreadable"),
            ),
            ("not reached", _if_any(report.not_reached)),
        ]
    )
    if not report.discrepancies:
        return counts
    return f"{_table(report.discrepancies, acts)}\n\n{counts}"


def _table(discrepancies: tuple[Discrepancy, ...], acts: dict[Act, str]) -> str:
    return table(
        _HEAD,
        [
            (
                each.order_id,
                each.token_id,
                str(each.wanted).lower(),
                str(each.found).lower(),
                "–" if each.settled_at is None else utc(each.settled_at),
                acts[each.act],
            )
            for each in discrepancies
        ],
        cut=("ORDER", "ACCOUNT", "DONE"),
        drop=("SETTLED (UTC)",),
    )


def _if_any(number: int, remark: str = "") -> str | None:
    if not number:
        return None
    return f"{number}  ({remark})" if remark else str(number)
