"""Texts: what `status` shows to people."""

from stocksync.cli.layout import count, distance, one_line, pairs, span
from stocksync.model import Status
from stocksync.verdict import DaemonSeen, Numbers, Snapshot, Standing


def standing(standing: Standing) -> str:
    """The verdict, its reasons, and the numbers."""
    head = [standing.verdict.value, *(f"  {one_line(reason)}" for reason in standing.reasons)]
    lines = _lines(standing.numbers)
    lines += [("daemon", _daemon(each, standing.numbers)) for each in standing.daemons]
    if not standing.daemons:
        lines.append(("daemon", "none"))
    if standing.oldest_snapshot is not None:
        lines.append(("snapshot", _snapshot(standing.oldest_snapshot)))
    return "\n".join(head) + "\n\n" + pairs(lines)


def _lines(numbers: Numbers) -> list[tuple[str, str]]:
    counts = ", ".join(f"{getattr(numbers, status)} {status}" for status in Status)
    again = f"{numbers.orders_to_push_again} to be pushed again"
    return [
        ("operations", counts),
        ("due", _due(numbers)),
        ("rate", f"{numbers.completed_per_second:.2f} completed a second, over 5 min"),
        ("backlog", _backlog(numbers)),
        ("first try", _share(numbers.first_try_share)),
        ("the others", _mean(numbers.mean_retry_seconds)),
        ("orders", f"{again}, {numbers.ambiguous_orders} ambiguous"),
    ]


def _due(numbers: Numbers) -> str:
    if numbers.oldest_due_seconds is None:
        return "nothing"
    rows, orders = count(numbers.due_rows, "row"), count(numbers.due_orders, "order")
    return f"{rows} and {orders} by themselves, the oldest for {span(numbers.oldest_due_seconds)}"


def _backlog(numbers: Numbers) -> str:
    if not numbers.due_rows:
        return "none"
    seconds = numbers.backlog_seconds
    return "nothing was completed lately" if seconds is None else f"{span(seconds)} at this rate"


def _share(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} % of what was completed in 24 h"


def _mean(seconds: float | None) -> str:
    return "–" if seconds is None else f"completed {span(seconds)} after their insert, on average"


def _daemon(daemon: DaemonSeen, numbers: Numbers) -> str:
    ears = {True: "listening", False: "DEAF: polling", None: "polling"}[daemon.is_listening]
    seen = f"seen {span(daemon.seen_seconds)} ago"
    return (
        f"{daemon.name}, {daemon.version}, started {distance(daemon.started_at, numbers.now)}, "
        + (f"{seen}, {ears}, {daemon.in_flight} in flight" if daemon.is_alive else f"DEAD: {seen}")
    )


def _snapshot(oldest: Snapshot) -> str:
    who = ", ".join(word for word in (oldest.application_name, oldest.state) if word)
    return (
        f"held by the session {oldest.pid} ({who}) for {span(oldest.age_seconds)}: "
        "dead rows cannot be cleaned away, and claiming slows down"
    )
