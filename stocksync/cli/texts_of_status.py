"""Texts: what `status` shows to people."""

from collections.abc import Iterable

from stocksync.cli.colour import green, red, yellow
from stocksync.cli.layout import count, distance, hanging, one_line, pairs, span
from stocksync.cli.texts_of_circuits import TO_MEND_AN_ACCOUNT, holding
from stocksync.cli.texts_of_timers import telegraph, timer
from stocksync.model import Status
from stocksync.verdict import DaemonSeen, Limits, Numbers, Snapshot, Standing, Verdict

# Characters of an error that is only quoted as the most frequent one.
_LONGEST_QUOTE = 120
# What the owner of the order system wants to see.
_GOAL_FIRST_TRY = 99
_GOAL_RETRY_MINUTES = 5
TO_START_ONE = "start a daemon: systemctl start stocksync, or what you use"
_START_ANEW = (
    "to do: see the daemon's log (journalctl -u stocksync), and restart it, which loses nothing; "
    "if that does not help, look at the database"
)


def standing(standing: Standing) -> str:
    """The verdict, its reasons, what else a person should know, and the numbers."""
    head = [coloured(standing.verdict), *(hanging("  ", each) for each in said(standing))]
    return "\n".join(head) + "\n\n" + pairs([*numbers(standing), *works(standing)])


def coloured(verdict: Verdict) -> str:
    """The verdict, as on-call sees it from afar."""
    paint = {Verdict.OK: green, Verdict.DEGRADED: yellow, Verdict.STALLED: red}
    return paint[verdict](verdict.value)


def said(standing: Standing) -> tuple[str, ...]:
    """The reasons, and what is no matter of the verdict and yet worth a look."""
    return (*standing.reasons, *_notes(standing))


def works(standing: Standing) -> list[tuple[str, str | None]]:
    """What holds rows up, and who works on them; a label and a text each."""
    now = standing.numbers.now
    lines: list[tuple[str, str | None]] = [*holding(standing.circuits, now, has_reasons=False)]
    lines += [("daemon", _daemon(each, standing.numbers)) for each in standing.daemons]
    if not standing.daemons:
        lines.append(("daemon", "none"))
    lines += [("timer", timer(each, now)) for each in standing.timers]
    lines.append(("Telegram", telegraph(standing.telegram, now)))
    if standing.oldest_snapshot is not None:
        lines.append(("snapshot", _snapshot(standing.oldest_snapshot)))
    return lines


def _notes(standing: Standing) -> Iterable[str]:
    numbers = standing.numbers
    if any(circuit.is_open and not circuit.is_service for circuit in standing.circuits):
        yield f"to mend a parked account: {TO_MEND_AN_ACCOUNT}"
    if numbers.failed:
        need = "needs" if numbers.failed == 1 else "need"
        yield (
            f"{count(numbers.failed, 'operation')} failed and {need} a person: "
            f"stocksync list --status failed{_most(numbers.failed, numbers.failed_error)}"
        )
    if numbers.retrying:
        being = "is" if numbers.retrying == 1 else "are"
        yield (
            f"{count(numbers.retrying, 'operation')} {being} retried, {_next_retry(numbers)}"
            f"{_most(numbers.retrying, numbers.retry_error)}"
        )
    if standing.verdict is Verdict.STALLED:
        yield f"to do: {TO_START_ONE}" if not standing.has_daemon else _START_ANEW
    elif not standing.has_daemon:
        yield "no daemon is running"


def _next_retry(numbers: Numbers) -> str:
    if numbers.next_retry_at is None or numbers.next_retry_at <= numbers.now:
        return "the first of them due now"
    return f"the first of them due {distance(numbers.next_retry_at, numbers.now)}"


def _most(rows: int, error: str | None) -> str:
    if error is None:
        return ""
    return f"; {'because' if rows == 1 else 'most often'}: {one_line(error, _LONGEST_QUOTE)}"


def numbers(standing: Standing) -> list[tuple[str, str | None]]:
    """What waits, what flows and what fails; a label and a text each."""
    numbers, limits = standing.numbers, standing.limits
    return [
        ("operations", _operations(numbers)),
        ("due", _due(standing)),
        ("completed", _completed(numbers)),
        ("first try", _first_try(numbers)),
        ("retried", _retried(numbers)),
        ("pushes", _pushes(numbers, limits)),
        ("orders", _orders(numbers)),
    ]


def _operations(numbers: Numbers) -> str:
    counts = [(getattr(numbers, status), status.value) for status in Status]
    if numbers.stale:
        counts.append((numbers.stale, "stale"))
    return ", ".join(f"{number} {what}" for number, what in counts if number is not None)


def _completed(numbers: Numbers) -> str:
    return f"{numbers.completed_lately} in the last 5 min, {numbers.completed_today} today (UTC)"


def _due(standing: Standing) -> str:
    numbers = standing.numbers
    parts = [f"{_due_now(numbers)}{_backlog(standing)}"]
    if numbers.waiting_rows:
        parts.append(f"{count(numbers.waiting_rows, 'row')} held up{_until_released(numbers)}")
    if not numbers.due_rows and numbers.next_due_at is not None:
        parts.append(f"the next row {distance(numbers.next_due_at, numbers.now)}")
    return "; ".join(parts)


def _due_now(numbers: Numbers) -> str:
    if numbers.oldest_due_seconds is None:
        return "nothing that may be claimed" if numbers.waiting_rows else "nothing"
    kinds = ((numbers.due_rows, "row"), (numbers.due_orders, "order"))
    what = " and ".join(count(number, kind) for number, kind in kinds if number)
    again = " to be pushed again" if numbers.due_orders else ""
    return f"{what}{again}, the oldest for {span(numbers.oldest_due_seconds)}"


def _backlog(standing: Standing) -> str:
    numbers = standing.numbers
    if not numbers.due_rows or not standing.has_daemon:
        return ""
    if numbers.has_just_begun:
        return "; they have just begun to flow: how long they take shows in a few seconds"
    seconds = numbers.backlog_seconds
    if seconds is None:
        return "; nothing was completed lately"
    return f"; done in about {span(seconds)} at the present rate"


def _until_released(numbers: Numbers) -> str:
    if numbers.due_rows:
        return ""
    return "; how long they take shows when they flow again"


def _first_try(numbers: Numbers) -> str | None:
    """None: nothing was completed in a day."""
    if numbers.first_try_share is None:
        return None
    share = 100 * numbers.first_try_share
    return f"{share:.1f} % of what was completed in 24 h; the goal is {_GOAL_FIRST_TRY} %"


def _retried(numbers: Numbers) -> str | None:
    """None: nothing that was completed in a day took more than one attempt."""
    if numbers.mean_retry_seconds is None:
        return None
    return (
        f"{span(numbers.mean_retry_seconds)} from insert to completion, the mean of the others; "
        f"the goal is less than {_GOAL_RETRY_MINUTES} min"
    )


def _pushes(numbers: Numbers, limits: Limits) -> str | None:
    """None: there were none."""
    if not numbers.attempts:
        return None
    rate = "" if numbers.failure_rate is None else f" ({100 * numbers.failure_rate:.3g} %)"
    return (
        f"{numbers.attempts} in the last {limits.failure_rate_window_minutes} min, "
        f"{numbers.unproven} of them not proven{rate}"
    )


def _orders(numbers: Numbers) -> str | None:
    """None: no order needs more than its rows say."""
    words = []
    if numbers.orders_to_push_again:
        words.append(f"{numbers.orders_to_push_again} to be pushed again")
    if numbers.ambiguous_orders:
        words.append(f"{numbers.ambiguous_orders} ambiguous (an old call may still be applied)")
    return ", ".join(words) or None


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
