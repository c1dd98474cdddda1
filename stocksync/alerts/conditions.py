"""Conditions: what is said of what lasts."""

from collections.abc import Iterator, Mapping, Sequence

from stocksync.alerts.facts import LONGEST_ID, Facts, line_of
from stocksync.alerts.layout import Line, Rank, command
from stocksync.alerts.teller import STATUS, Teller, examples_of
from stocksync.changes import EXAMPLES, Change, Phase
from stocksync.message import Code

RESTART = "systemctl restart stocksync"
LONGEST_ERROR_OF_AN_EXAMPLE = 120


def outage(teller: Teller, changes: Sequence[Change]) -> Iterator[Line]:
    """The service's circuit is open."""
    change, words = changes[-1], teller.words
    if change.phase is Phase.ENDED:
        yield from teller.ended(change, released="waiting_rows")
        return
    yield from _held_up(teller, change)
    yield teller.line(words.outage_meaning)
    yield from teller.follows(change)
    reason = Facts(change.facts).text("reason")
    yield teller.act(_what_to_do(words.outage_acts, reason))
    yield command(STATUS)


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
    yield command(STATUS)


def stalled(teller: Teller, changes: Sequence[Change]) -> Iterator[Line]:
    """Rows may be claimed, and nobody settles them."""
    change, words = changes[-1], teller.words
    facts = Facts(change.facts)
    if change.phase is Phase.ENDED:
        yield from teller.ended(change, released="due_rows")
        return
    if change.phase is Phase.BEGAN:
        yield teller.line(words.noticed, at=change.at)
    if rows := facts.count("due_rows"):
        yield teller.line(words.stalled_due, rows=rows)
    for reason in facts.texts("reasons")[:EXAMPLES]:
        yield teller.line(words.reason, reason=reason, rank=Rank.EXAMPLE)
    yield teller.line(words.stalled_meaning)
    yield teller.act(words.stalled_act)
    yield command(STATUS)
    yield command(RESTART)


def backlog(teller: Teller, changes: Sequence[Change]) -> Iterator[Line]:
    """More rows are pending than there should be."""
    change, words = changes[-1], teller.words
    facts = Facts(change.facts)
    if change.phase is Phase.ENDED:
        yield from teller.ended(change)
        return
    yield teller.line(words.backlog_limit, limit=facts.count("limit"))
    if (oldest_seconds := facts.number("oldest_due_seconds")) is not None:
        yield teller.line(words.backlog_oldest, seconds=oldest_seconds)
    if (seconds := facts.number("backlog_seconds")) is None:
        yield teller.line(words.backlog_stands)
    else:
        yield teller.line(words.backlog_takes, seconds=seconds)
    yield teller.act(words.backlog_act)
    yield command(STATUS)


def stale(teller: Teller, changes: Sequence[Change]) -> Iterator[Line]:
    """Rows are not done after hours."""
    change, words = changes[-1], teller.words
    if change.phase is Phase.ENDED:
        yield from teller.ended(change)
        return
    examples = examples_of([change])
    for each in examples:
        at = each.time("created_at")
        since = teller.speech.text(words.example_since, at=at) if at else ""
        yield teller.example(each, since, each.text("error", LONGEST_ERROR_OF_AN_EXAMPLE))
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
    yield command(STATUS)


def _held_up(teller: Teller, change: Change) -> Iterator[Line]:
    facts, words = Facts(change.facts), teller.words
    if change.phase is Phase.BEGAN:
        yield teller.line(words.since, at=change.at)
    if reason := facts.text("reason"):
        yield teller.line(words.reason, reason=reason)
    yield teller.line(words.waiting, rows=facts.count("waiting_rows"))


def _what_to_do(acts: Mapping[str, str], reason: str) -> str:
    return next(act for beginning, act in acts.items() if reason.startswith(beginning))


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
    yield command(STATUS)
