"""Sections: all that is said of changes of one kind and phase, and in which order."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from stocksync.alerts import conditions, happenings
from stocksync.alerts.headlines import is_crash, mark, title
from stocksync.alerts.layout import Line, headline
from stocksync.alerts.teller import Teller
from stocksync.changes import Change, Kind

Body = Callable[[Teller, Sequence[Change]], Iterator[Line]]

_BODIES: Mapping[Kind, Body] = {
    Kind.OUTAGE: conditions.outage,
    Kind.PARKED: conditions.parked,
    Kind.STALLED: conditions.stalled,
    Kind.BACKLOG: conditions.backlog,
    Kind.STALE: conditions.stale,
    Kind.FAILURE_RATE: conditions.failure_rate,
    Kind.FAILED: happenings.failed,
    Kind.NEGATIVE: happenings.negative,
    Kind.DISCREPANCIES: happenings.discrepancies,
    Kind.DAILY_REPORT: happenings.daily_report,
    Kind.NOTICE: happenings.notice,
}


def section(teller: Teller, changes: Sequence[Change]) -> Iterator[Line]:
    """What happened; its numbers; examples; what to do."""
    last = changes[-1]
    is_own = last.kind is Kind.NOTICE and not is_crash(last)
    said = happenings.told_by(teller, last) if is_own else title(teller, changes)
    yield headline(mark(changes), said)
    yield from body(teller, changes)


def body(teller: Teller, changes: Sequence[Change]) -> Iterator[Line]:
    """All but what happened."""
    return _BODIES[changes[-1].kind](teller, changes)
