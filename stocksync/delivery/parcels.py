"""Parcels: which changes become one message. No I/O."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stocksync.changes import Change, Kind, Phase
from stocksync.delivery.ledger import Unsent


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One message to one chat."""

    chat: str
    ids: tuple[int, ...]
    changes: tuple[Change, ...]
    is_merged: bool
    """Of different kinds, or of different times."""


def parcels(
    unsent: Sequence[Unsent], *, chat: str, most: int, is_failing: bool = False
) -> list[Parcel]:
    """At most so many messages that tell the chat what it lacks, as far as they can.

    What happens is told by kind and phase: five accounts parked in one turn are one message. What
    could not be told when it happened, or would be too many messages, is told together: a person
    who comes back wants to know how it stands. The daily report is a message of its own. In a chat
    that is failing, what is new is told first and by itself: what failed may fail for ever.
    """
    lacking = [each for each in unsent if chat in each.chats]
    if not is_failing:
        return _parcels(lacking, chat=chat, most=most)
    new = _parcels([each for each in lacking if not each.was_tried], chat=chat, most=most)
    tried = _parcels([each for each in lacking if each.was_tried], chat=chat, most=most)
    return [*new, *tried][:most]


def _parcels(lacking: Sequence[Unsent], *, chat: str, most: int) -> list[Parcel]:
    reports = [each for each in lacking if each.change.kind is Kind.DAILY_REPORT]
    states = [each for each in lacking if each.change.kind is not Kind.DAILY_REPORT]
    groups = _grouped(states)
    is_late = len(states) > 1 and any(each.is_late for each in states)
    if is_late or len(groups) > most:
        groups = [states]
    found = [
        *(_parcel(chat, group, is_merged=group is states) for group in groups),
        *(_parcel(chat, group) for group in _grouped(reports)),
    ]
    return found[:most]


def _grouped(unsent: Iterable[Unsent]) -> list[list[Unsent]]:
    groups: dict[tuple[Kind, Phase], list[Unsent]] = {}
    for each in unsent:
        groups.setdefault((each.change.kind, each.change.phase), []).append(each)
    return list(groups.values())


def _parcel(chat: str, unsent: Sequence[Unsent], *, is_merged: bool = False) -> Parcel:
    return Parcel(
        chat=chat,
        ids=tuple(each.id for each in unsent),
        changes=tuple(each.change for each in unsent),
        is_merged=is_merged,
    )
