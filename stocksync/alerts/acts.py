"""Acts: what people did about changes with a message's buttons, as lines under it."""

from collections.abc import Iterator, Sequence
from enum import StrEnum

from stocksync.alerts.facts import LONGEST_NAME, Facts
from stocksync.alerts.layout import Line, Rank
from stocksync.alerts.teller import Teller
from stocksync.changes import Change


class Act(StrEnum):
    """What a button does; its action is `act:id,id…` with the ids of the message's changes.

    A probe is of the first one's account.
    """

    RETRY = "retry"
    MUTE = "mute"
    PROBE = "probe"


SHOWN = 5
"""The last ones."""


def acts_of(changes: Sequence[Change]) -> list[Facts]:
    """What was done; each change of a message knows it."""
    return Facts(changes[0].facts).each("acts")


def acts(teller: Teller, changes: Sequence[Change]) -> Iterator[Line]:
    """What was done, by whom and when."""
    words = teller.words.bot
    for act in acts_of(changes)[-SHOWN:]:
        at = act.time("at")
        template = words.acts.get(act.raw("act"))
        if at is None or template is None:
            continue
        done = teller.speech.text(
            template,
            rows=act.count("rows"),
            until=act.time("until") or at,
            account=teller.account(act.raw("token_id")),
        )
        by = act.text("by", LONGEST_NAME)
        yield teller.line(words.done_by, rank=Rank.ACT, done=done, by=by, at=at)
