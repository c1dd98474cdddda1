"""Conditions: what is said of what lasts."""

from collections.abc import Iterator, Sequence

from stocksync.alerts.errors import errors
from stocksync.alerts.facts import LONGEST_ID, Facts, line_of
from stocksync.alerts.layout import Line, Rank, command
from stocksync.alerts.teller import CREDENTIALS, STATUS, Teller, by_reason, examples_of
from stocksync.changes import Change, Phase
from stocksync.message import Code

RESTART = "systemctl restart stocksync"
CHECK = "stocksync check"


def outage(teller: Teller, changes: Sequence[Change]) -> Iterator[Line]:
    """The service's circuit is open."""
    change, words = changes[-1], teller.words
    if change.phase is Phase.ENDED:
        yield from teller.ended(change, released="waiting_rows")
        return
    reason = Facts(change.facts).text("reason")
    yield from _held_up(teller, change)
    yield teller.line(by_reason(words.outage_meanings, reason))
    yield from teller.follows(change)
    yield teller.act(by_reason(words.outage_acts, reason))
    if reason.startswith(CREDENTIALS):
        yield command(RESTART)
    yield from teller.status()


def parked(teller: Teller, changes: Sequence[Change]) -> Iterator[Line]:
    """An account is parked, or several."""
    if len(changes) > 1:
        yield from _several_parked(teller, changes)
        return
    [change], words = changes, teller.words
    if change.phase is Phase.ENDED:
        yield from teller.ended(change, released="waiting_rows")
        return
    yield from _held_up(teller, change)
    yield teller.line(words.parked_meaning)
    yield from teller.follows(change)
    yield teller.act(words.parked_act, token=Code(line_of(change.token_id, LONGEST_ID)))
    yield from teller.status()


def stalled(teller: Teller, changes: Sequence[Change]) -> Iterator[Line]:
    """Rows may be claimed, and nobody settles them."""
    change, words = changes[-1], teller.words
    facts = Facts(change.facts)
    if change.phase is Phase.ENDED:
        yield from teller.ended(change, released="due_rows")
        return
    if change.phase is Phase.BEGAN:
        yield teller.line(words.noticed, at=change.at)
    else:
        yield from teller.since(change)
    if rows := facts.count("due_rows"):
        yield teller.line(words.stalled_due, rows=rows)
    if (oldest_seconds := facts.number("oldest_due_seconds")) is not None:
        yield teller.line(words.next_in_line, seconds=oldest_seconds)
    if (quiet_seconds := facts.number("quiet_seconds")) is not None:
        yield teller.line(words.stalled_quiet, seconds=quiet_seconds)
    yield teller.line(words.stalled_meaning)
    yield teller.line(words.until_sent)
    yield teller.act(words.stalled_look)
    yield command(STATUS)
    yield teller.act(words.stalled_restart)
    yield command(RESTART)
    yield teller.act(words.stalled_else)


def backlog(teller: Teller, changes: Sequence[Change]) -> Iterator[Line]:
    """More rows are pending than there should be."""
    change, words = changes[-1], teller.words
    facts = Facts(change.facts)
    if change.phase is Phase.ENDED:
        yield from teller.ended(change)
        return
    yield teller.line(words.alert_threshold, limit=facts.count("limit"))
    oldest_seconds, seconds = facts.number("oldest_due_seconds"), facts.number("backlog_seconds")
    if oldest_seconds is not None:
        yield teller.line(words.next_in_line, seconds=oldest_seconds)
    if seconds:
        yield teller.line(words.backlog_takes, seconds=seconds)
    elif seconds is not None and oldest_seconds is None:
        yield teller.line(words.backlog_not_due)
    yield teller.line(words.is_safe)
    yield teller.line(words.until_sent)
    yield teller.act(words.backlog_acts.get(change.phase, words.backlog_acts[Phase.LASTS]))
    yield command(STATUS)


def stale(teller: Teller, changes: Sequence[Change]) -> Iterator[Line]:
    """Rows are not done after hours."""
    change, words = changes[-1], teller.words
    if change.phase is Phase.ENDED:
        yield from teller.ended(change)
        return
    examples = examples_of([change])
    if times := [at for each in examples if (at := each.time("created_at"))]:
        yield teller.line(words.stale_oldest, at=min(times))
    yield from errors(teller, [change])
    yield teller.line(words.is_safe)
    yield teller.line(words.until_sent)
    yield teller.act(words.stale_act)
    first_id = examples[0].text("operation_id", LONGEST_ID) if examples else ""
    yield command(f"stocksync show {first_id}" if first_id else STATUS)


def failure_rate(teller: Teller, changes: Sequence[Change]) -> Iterator[Line]:
    """Too many attempts bring no proof."""
    change, words = changes[-1], teller.words
    facts = Facts(change.facts)
    if change.phase is Phase.ENDED:
        yield from teller.ended(change)
        return
    yield teller.line(
        words.failure_rate_counts,
        unproven=facts.count("unproven"),
        attempts=facts.count("attempts"),
        share=facts.number("threshold") or 0.0,
    )
    if error := facts.text("error"):
        yield teller.line(words.most_often, error=error)
    yield teller.line(words.failure_rate_meaning)
    yield teller.act(words.failure_rate_act)
    yield command(CHECK)


def _held_up(teller: Teller, change: Change) -> Iterator[Line]:
    facts = Facts(change.facts)
    yield from teller.since(change)
    yield from teller.reason(facts.text("reason"))
    yield teller.line(teller.words.waiting, rows=facts.count("waiting_rows"))


def _several_parked(teller: Teller, changes: Sequence[Change]) -> Iterator[Line]:
    words = teller.words
    for change in changes:
        rows = Facts(change.facts).count("waiting_rows")
        token = Code(line_of(change.token_id, LONGEST_ID))
        who = (f"{teller.account(change.token_id)}, ",) if teller.has_name(change.token_id) else ()
        said = teller.speech.text(words.rows_wait, rows=rows)
        yield Line(("• ", *who, token, f": {said}"), Rank.EXAMPLE)
    if changes[-1].phase is Phase.ENDED:
        yield teller.act(words.nothing_to_do)
        return
    yield teller.line(words.several_parked_meaning)
    yield teller.act(words.several_parked_act)
    yield from teller.status()
