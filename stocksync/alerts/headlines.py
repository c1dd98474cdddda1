"""Headlines: what happened, in a few words, and at a glance how bad it is."""

from collections.abc import Sequence

from stocksync.alerts.facts import LONGEST_ID, Facts
from stocksync.alerts.teller import Teller, sum_of
from stocksync.changes import CRITICAL, Change, Kind, Phase

SOMEBODY_NOW, SOMEBODY_SOON, OVER, NEWS = "🔴", "🟡", "🟢", "🔵"
MARKS = {"OK": OVER, "DEGRADED": SOMEBODY_SOON, "STALLED": SOMEBODY_NOW}
"""By the verdict."""
LONGEST_DAY = 20
LONGEST_GLANCE = 80
"""UTF-16 units of a notice in a list."""
LONGEST_UNIT = 255
"""A unit's name: systemd.unit(5)."""


def mark(changes: Sequence[Change]) -> str:
    """How bad it is, at a glance."""
    last = changes[-1]
    match last.kind:
        case Kind.NOTICE if is_crash(last):
            return SOMEBODY_NOW
        case Kind.DAILY_REPORT | Kind.NOTICE:
            return NEWS
        case Kind.DISCREPANCIES:
            return SOMEBODY_SOON if undecided(changes) else OVER
    if last.phase is Phase.ENDED:
        return OVER
    return SOMEBODY_NOW if last.kind in CRITICAL else SOMEBODY_SOON


def title(teller: Teller, changes: Sequence[Change]) -> str:
    """What happened, in a few words."""
    last, count, words = changes[-1], len(changes), teller.words
    if last.kind is Kind.PARKED and count > 1:
        return teller.speech.text(words.several_parked[last.phase], count=count)
    if last.kind is Kind.DISCREPANCIES:
        if left := undecided(changes):
            return teller.speech.text(words.discrepancies_left, count=left)
        found = sum_of(changes, "found")
        return teller.speech.text(words.discrepancies_repaired, count=found)
    if last.kind not in words.happened:
        return title_of_condition(teller, last, last.phase)
    template = words.crashed if is_crash(last) else words.happened[last.kind]
    facts = Facts(last.facts)
    return teller.speech.text(
        template,
        count=sum_of(changes, "count"),
        day=facts.text("day", LONGEST_DAY),
        text=facts.text("text", LONGEST_GLANCE) or "…",
        unit=facts.text("unit", LONGEST_UNIT),
        host=facts.text("host", LONGEST_ID),
    )


def title_of_condition(teller: Teller, change: Change, phase: Phase | None) -> str:
    """A condition in a few words; None: it is over, told all at once."""
    facts = Facts(change.facts)
    is_moving = facts.number("backlog_seconds") is not None
    return teller.speech.text(
        teller.headlines(change).of(phase),
        account=teller.account(change.token_id),
        seconds=facts.count("seconds"),
        pending=facts.count("pending"),
        stands="" if is_moving else teller.words.nothing_is_sent,
        limit=facts.count("limit"),
        count=facts.count("count"),
        hours=facts.count("hours"),
        rate=facts.number("rate") or 0.0,
        threshold=facts.number("threshold") or 0.0,
        minutes=facts.count("window_minutes"),
    )


def undecided(changes: Sequence[Change]) -> int:
    """Discrepancies that nobody corrects unasked."""
    return sum_of(changes, "left") + sum_of(changes, "given_up")


def is_crash(notice: Change) -> bool:
    """It is systemd's: a daemon has ended for good."""
    return notice.kind is Kind.NOTICE and bool(Facts(notice.facts).text("unit", LONGEST_UNIT))
