"""Catalogue: changes of state as messages, in one language."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

from stocksync.alerts.acts import Act, acts, acts_of
from stocksync.alerts.english import ENGLISH
from stocksync.alerts.facts import Facts
from stocksync.alerts.headlines import (
    NEWS,
    OVER,
    SOMEBODY_NOW,
    SOMEBODY_SOON,
    mark,
    title,
    title_of_condition,
)
from stocksync.alerts.layout import (
    EMPTY,
    LONGEST_CAPTION,
    LONGEST_TEXT,
    Line,
    Rank,
    fitted,
    headline,
)
from stocksync.alerts.plot import plot
from stocksync.alerts.russian import RUSSIAN
from stocksync.alerts.sections import body, section
from stocksync.alerts.speech import Speech
from stocksync.alerts.teller import Teller, sum_of
from stocksync.alerts.words import Words
from stocksync.changes import EXAMPLES, Change, Kind, Phase
from stocksync.message import Button, Message, Part

LANGUAGES: Mapping[str, Words] = {"ru": RUSSIAN, "en": ENGLISH}
LONGEST_ACTION = 64
"""Bytes: Telegram's Bot API, callback_data."""
# Of these, several of a kind and phase are one statement; of the others each is told.
_TOGETHER = (Kind.PARKED, Kind.FAILED, Kind.NEGATIVE, Kind.DISCREPANCIES)
_WORST_FIRST = (SOMEBODY_NOW, SOMEBODY_SOON, NEWS, OVER)


def catalogue(language: Literal["ru", "en"], *, with_buttons: bool = False) -> "Catalogue":
    """The catalogue of a language; `with_buttons`: what may be done is offered under messages."""
    return Catalogue(words=LANGUAGES[language], with_buttons=with_buttons)


class Catalogue:
    """Puts changes into words. Never fails: facts that are missing or odd are left unsaid.

    Messages are at most as long as Telegram takes them: examples give way first.
    """

    def __init__(self, *, words: Words, with_buttons: bool = False) -> None:
        self.words = words
        self.speech = Speech(words)
        self._has_buttons = with_buttons

    def message(self, changes: Sequence[Change], names: Mapping[str, str]) -> Message:
        """One message about changes of the same kind and phase, in their order; at least one.

        `names` are the accounts' by their tokens. A daily report has a picture, if it can be drawn:
        that takes a second, so call it in a thread.
        """
        teller = Teller(self.speech, names)
        lines: list[Line] = []
        for group in _told_together(changes):
            lines += [*([EMPTY] if lines else []), *section(teller, group)]
        lines += acts(teller, changes)
        picture = self._picture(changes)
        return Message(
            parts=self._fitted(lines, LONGEST_TEXT if picture is None else LONGEST_CAPTION),
            buttons=tuple(filter(None, self._buttons(changes, teller)))
            if self._has_buttons
            else (),
            picture=picture,
        )

    def merged(self, changes: Sequence[Change], names: Mapping[str, str]) -> Message:
        """One message about all that could not be told when it happened; at least one change.

        First a line each: what lasts, what waits for a decision, what is over; began and ended are
        one line. Then details of what is not over, as far as they fit.
        """
        # No buttons: a press shows the message anew, and knows its own changes alone.
        teller, words = Teller(self.speech, names), self.words
        in_order = sorted(changes, key=lambda change: change.at)
        stories = sorted(_stories(in_order), key=lambda story: _WORST_FIRST.index(mark(story)))
        first, last = in_order[0].at, in_order[-1].at
        late = self.speech.text(words.late, count=len(in_order), first=first, last=last)
        lines = [headline(mark(stories[0]), late), Line((words.late_why,))]
        if len(stories) < len(in_order):
            lines.append(Line((words.late_folded,)))
        is_one_day = first.astimezone(UTC).date() == last.astimezone(UTC).date()
        details: list[Line] = []
        for part, heading in words.late_parts.items():
            told = [story for story in stories if _part(story) == part]
            lines += [EMPTY, Line((heading,))] if told else []
            for story in told:
                at = self._at(story[0].at, is_one_day=is_one_day)
                lines.append(Line((f"{mark(story)} {at} – {_summary(teller, story)}",)))
                if part != "over":
                    at = self._at(story[-1].at, is_one_day=is_one_day)
                    details += [EMPTY, *_detail(teller, _still(story), at)]
        lines += [EMPTY, Line((words.late_details,), Rank.DETAIL)] if details else []
        lines += [line.as_detail() for line in details]
        return Message(parts=self._fitted(lines, LONGEST_TEXT))

    def _at(self, at: datetime, *, is_one_day: bool) -> str:
        return f"{at.astimezone(UTC):%H:%M} UTC" if is_one_day else self.speech.time(at)

    def account(self, token_id: str, names: Mapping[str, str]) -> str:
        """An account's name in quotes, else its token, shortened."""
        return Teller(self.speech, names).account(token_id)

    def _fitted(self, lines: Sequence[Line], longest: int) -> tuple[Part, ...]:
        return fitted(
            lines,
            longest=longest,
            left_out=lambda count: Line((self.speech.text(self.words.left_out, count=count),)),
        )

    def _picture(self, changes: Sequence[Change]) -> bytes | None:
        if len(changes) > 1 or changes[0].kind is not Kind.DAILY_REPORT:
            return None
        facts = Facts(changes[0].facts)
        return plot(facts.each("hours"), day=facts.text("day", 20), speech=self.speech)

    def _buttons(self, changes: Sequence[Change], teller: Teller) -> Iterator[tuple[Button, ...]]:
        words, ids = self.words.bot, [change.id for change in changes]
        done = {act.raw("act") for act in acts_of(changes)}
        match changes[-1].kind:
            case Kind.FAILED:
                covered = sum(len(Facts(each.facts).texts("operation_ids")) for each in changes)
                rows = covered or sum_of(changes, "count")
                labels = {
                    Act.RETRY: self.speech.text(words.retry, count=rows),
                    Act.MUTE: words.mute,
                }
                offered = {act: label for act, label in labels.items() if act not in done}
                row = (_button(label, act, ids) for act, label in offered.items())
                yield tuple(button for button in row if button is not None)
            case Kind.PARKED if changes[-1].phase is not Phase.ENDED:
                for change in changes[:EXAMPLES]:
                    label = words.probe
                    if len(changes) > 1:
                        account = teller.account(change.token_id)
                        label = self.speech.text(words.probe_account, account=account)
                    others = [each for each in ids if each != change.id]
                    if (button := _button(label, Act.PROBE, [change.id, *others])) is not None:
                        yield (button,)


def _button(label: str, act: Act, ids: Sequence[int | None]) -> Button | None:
    """None: a change has no id, or Telegram does not take so many."""
    action = f"{act}:{','.join(map(str, ids))}"
    if None in ids or len(action) > LONGEST_ACTION:
        return None
    return Button(label=label, action=action)


def _told_together(changes: Sequence[Change]) -> Iterable[Sequence[Change]]:
    if changes[0].kind in _TOGETHER:
        return [changes]
    if changes[0].phase is Phase.LASTS:
        # How it stands now says how it stood before.
        return [changes[-1:]]
    return [[change] for change in changes]


def _stories(changes: Iterable[Change]) -> list[list[Change]]:
    """What belongs together: a condition from its begin to its end, and what one statement tells.

    The latter are kinds that happen, whenever they did.
    """
    stories: list[list[Change]] = []
    unended: dict[tuple[Kind, str], list[Change]] = {}
    for change in changes:
        key = (change.kind, change.token_id)
        if key not in unended:
            stories.append([])
        story = unended.setdefault(key, stories[-1])
        story.append(change)
        is_alone = change.phase is Phase.HAPPENED and change.kind not in _TOGETHER
        if change.phase is Phase.ENDED or is_alone:
            del unended[key]
    return stories


def _detail(teller: Teller, story: Sequence[Change], at: str) -> Iterator[Line]:
    as_of = teller.speech.text(teller.words.as_of, title=title(teller, story), at=at)
    yield headline(mark(story), as_of)
    yield from body(teller, story)


def _part(story: Sequence[Change]) -> str:
    """Under which heading it stands: a key of `late_parts`."""
    if mark(story) in (OVER, NEWS):
        return "over"
    return "undecided" if story[-1].phase is Phase.HAPPENED else "lasting"


def _summary(teller: Teller, story: Sequence[Change]) -> str:
    if _is_over(story) and story[0].phase is not Phase.ENDED:
        return title_of_condition(teller, story[-1], None)
    return title(teller, _still(story))


def _still(story: Sequence[Change]) -> Sequence[Change]:
    """What says how it stands: of a condition the last change, of what happened all."""
    return story if story[-1].phase is Phase.HAPPENED else story[-1:]


def _is_over(story: Sequence[Change]) -> bool:
    return story[-1].phase is Phase.ENDED
