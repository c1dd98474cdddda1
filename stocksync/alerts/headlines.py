"""Headlines: what happened, in a few words, and at a glance how bad it is."""

from collections.abc import Sequence

from stocksync.alerts.facts import Facts
from stocksync.alerts.teller import Teller, sum_of
from stocksync.changes import CRITICAL, Change, Kind, Phase

SOMEBODY_NOW, SOMEBODY_SOON, OVER, NEWS = "🔴", "🟡", "🟢", "🔵"
MARKS = {"OK": OVER, "DEGRADED": SOMEBODY_SOON, "STALLED": SOMEBODY_NOW}
"""By the verdict."""
LONGEST_DAY = 20


def mark(changes: Sequence[Change]) -> str:
    """How bad it is, at a glance."""
    last = changes[-1]
    match last.kind:
        case Kind.DAILY_REPORT | Kind.NOTICE:
            return NEWS
        case Kind.DISCREPANCIES:
            is_open = sum_of(changes, "left") or sum_of(changes, "given_up")
            return SOMEBODY_SOON if is_open else OVER
    if last.phase is Phase.ENDED:
        return OVER
    return SOMEBODY_NOW if last.kind in CRITICAL else SOMEBODY_SOON


def title(teller: Teller, changes: Sequence[Change]) -> str:
    """What happened, in a few words."""
    last, count, words = changes[-1], len(changes), teller.words
    match last.kind:
        case Kind.PARKED if count > 1:
            return teller.speech.text(words.several_parked[last.phase], count=count)
        case Kind.FAILED | Kind.NEGATIVE:
            return teller.speech.text(words.happened[last.kind], count=sum_of(changes, "count"))
        case Kind.DISCREPANCIES:
            is_open = sum_of(changes, "left") or sum_of(changes, "given_up")
            template = words.discrepancies_left if is_open else words.discrepancies_repaired
            return teller.speech.text(template, count=sum_of(changes, "found"))
        case Kind.DAILY_REPORT:
            day = Facts(last.facts).text("day", LONGEST_DAY)
            return teller.speech.text(words.happened[last.kind], day=day)
        case Kind.NOTICE:
            return words.happened[last.kind]
    return title_of_condition(teller, last, last.phase)


def title_of_condition(teller: Teller, change: Change, phase: Phase | None) -> str:
    """A condition in a few words; None: it is over, told all at once."""
    facts = Facts(change.facts)
    return teller.speech.text(
        teller.words.conditions[change.kind].of(phase),
        account=teller.account(change.token_id),
        seconds=facts.count("seconds"),
        pending=facts.count("pending"),
        limit=facts.count("limit"),
        count=facts.count("count"),
        hours=facts.count("hours"),
        rate=facts.number("rate") or 0.0,
        minutes=facts.count("window_minutes"),
    )
