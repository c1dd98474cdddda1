"""Teller: lines about changes, in a language, with the accounts' names."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from stocksync.alerts.facts import LONGEST_ID, LONGEST_NAME, Facts, line_of
from stocksync.alerts.layout import Line, Rank, command
from stocksync.alerts.speech import Speech, Value
from stocksync.alerts.words import Headlines
from stocksync.changes import EXAMPLES, Change, Kind, Phase
from stocksync.message import Code

T = TypeVar("T")

STATUS = "stocksync status"
CREDENTIALS = "credentials:"
"""So the reason of a circuit begins when it was our own key that was refused."""
# What our own words for these answers add to them, the headline says already.
_SAID = (" credentials refused", " token not accepted")
# A token without a name: enough to tell one from the other.
TOKEN_SHOWN = 8


class Teller:
    """The lines that many changes have in common.

    `names` are the accounts' by their tokens; one without a name is called by its token.
    """

    def __init__(self, speech: Speech, names: Mapping[str, str]) -> None:
        self.speech = speech
        self.words = speech.words
        self._names = names

    def line(self, template: str, *, rank: Rank = Rank.FACT, **values: Value) -> Line:
        """A line that says something."""
        return Line(self.speech.parts(template, **values), rank)

    def act(self, template: str, **values: Value) -> Line:
        """A line that says what to do."""
        return self.line(template, rank=Rank.ACT, **values)

    def account(self, token_id: str) -> str:
        """An account's name in quotes, else its token, shortened."""
        if self.has_name(token_id):
            name = line_of(self._names[token_id], LONGEST_NAME)
            return self.words.quoted.replace("#", name)
        token_id = line_of(token_id, LONGEST_ID)
        return f"{token_id[:TOKEN_SHOWN]}…" if len(token_id) > TOKEN_SHOWN else token_id

    def has_name(self, token_id: str) -> bool:
        """It is known by more than its token."""
        return bool(line_of(self._names.get(token_id, ""), LONGEST_NAME))

    def headlines(self, change: Change) -> Headlines:
        """What its condition is called."""
        if change.kind is Kind.OUTAGE:
            return by_reason(self.words.outages, Facts(change.facts).raw("reason"))
        return self.words.conditions[change.kind]

    def since(self, change: Change) -> Iterator[Line]:
        """When a condition began that lasts."""
        if (at := _began_at(change)) is not None:
            yield self.line(self.words.since, at=at)

    def reason(self, reason: str) -> Iterator[Line]:
        """Why a circuit is open, in this language as far as the words are ours."""
        template = "{reason}"
        for beginning, known in self.words.reasons.items():
            if reason.startswith(beginning):
                reason, template = reason.removeprefix(beginning), known
        for said in _SAID:
            reason = reason.replace(said, "", 1)
        if reason:
            said = self.speech.text(template, reason=reason)
            yield self.line(self.words.reason, reason=said)

    def ended(self, change: Change, *, released: str = "") -> Iterator[Line]:
        """A condition is over; `released` is the fact that counts the rows that waited for it."""
        facts = Facts(change.facts)
        lasted = self.headlines(change).lasted
        yield self.line(lasted, seconds=facts.count("seconds"), at=change.at)
        if rows := facts.count(released):
            yield self.line(self.words.released, rows=rows)
        yield self.act(self.words.nothing_to_do)

    def status(self) -> Iterator[Line]:
        """How to see more."""
        yield self.act(self.words.current_status)
        yield command(STATUS)

    def follows(self, change: Change) -> Iterator[Line]:
        """What else is out of bounds because of it."""
        facts = Facts(change.facts)
        lines, hours = facts.inner("lines"), facts.count("hours")
        said = [
            self.line(template, rank=Rank.EXAMPLE, number=number, hours=hours)
            for name, template in self.words.follows.items()
            if (number := lines.number(name))
        ]
        if said:
            yield self.line(self.words.effects, rank=Rank.EXAMPLE)
        yield from said

    def example(self, example: Facts, *about: str) -> Line:
        """An order, and what there is to say about it."""
        order = Code(example.text("order_id", LONGEST_ID))
        who = self.account(example.raw("token_id"))
        said = "; ".join(filter(None, about))
        parts = self.speech.parts(self.words.example, order=order, account=who)
        return Line((*parts, f": {said}" if said else ""), Rank.EXAMPLE)


def _began_at(change: Change) -> datetime | None:
    if change.phase is Phase.BEGAN:
        return change.at
    try:
        return change.at - timedelta(seconds=Facts(change.facts).count("seconds"))
    except OverflowError:
        return None


def by_reason(table: Mapping[str, T], reason: str) -> T:
    """The first entry whose key a circuit's reason begins with; "" fits all."""
    return next(each for beginning, each in table.items() if reason.startswith(beginning))


def sum_of(changes: Sequence[Change], name: str) -> int:
    """A count over all changes."""
    return sum(Facts(change.facts).count(name) for change in changes)


def each_of(changes: Sequence[Change], name: str) -> list[Facts]:
    """A list of facts over all changes."""
    return [each for change in changes for each in Facts(change.facts).each(name)]


def examples_of(changes: Sequence[Change]) -> list[Facts]:
    """The first examples over all changes."""
    return each_of(changes, "examples")[:EXAMPLES]


def show_order(examples: Sequence[Facts]) -> str:
    """The command that shows the first order; of one whose id is not to be typed, its account."""
    if not examples:
        return STATUS
    order, token = examples[0].raw("order_id"), examples[0].text("token_id", LONGEST_ID)
    if not order or order != examples[0].text("order_id", LONGEST_ID):
        return shlex.join(["stocksync", "list", f"--token={token}"])
    return shlex.join(["stocksync", "show", f"--order={order}", f"--token={token}"])
