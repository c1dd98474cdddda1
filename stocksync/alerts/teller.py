"""Teller: lines about changes, in a language, with the accounts' names."""

import shlex
from collections.abc import Iterator, Mapping, Sequence

from stocksync.alerts.facts import LONGEST_ID, LONGEST_NAME, Facts, line_of
from stocksync.alerts.layout import Line, Rank
from stocksync.alerts.speech import Speech, Value
from stocksync.changes import EXAMPLES, Change
from stocksync.message import Code

STATUS = "stocksync status"
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

    def ended(self, change: Change, *, released: str = "") -> Iterator[Line]:
        """A condition is over; `released` is the fact that counts the rows that waited for it."""
        facts = Facts(change.facts)
        yield self.line(self.words.lasted, seconds=facts.count("seconds"), at=change.at)
        if rows := facts.count(released):
            yield self.line(self.words.released, rows=rows)
        yield self.act(self.words.nothing_to_do)

    def follows(self, change: Change) -> Iterator[Line]:
        """What else is out of bounds because of it."""
        lines = Facts(change.facts).inner("lines")
        said = [
            self.line(template, rank=Rank.EXAMPLE, number=number)
            for name, template in self.words.follows.items()
            if (number := lines.number(name))
        ]
        if said:
            yield self.line(self.words.because_of_it, rank=Rank.EXAMPLE)
        yield from said

    def example(self, example: Facts, *about: str) -> Line:
        """An order, and what there is to say about it."""
        order = Code(example.text("order_id", LONGEST_ID))
        who = self.account(example.raw("token_id"))
        said = "; ".join(filter(None, about))
        parts = self.speech.parts(self.words.example, order=order, account=who)
        return Line((*parts, f": {said}" if said else ""), Rank.EXAMPLE)


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
