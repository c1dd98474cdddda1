"""Conditions: each change of state is told once, and what something else explains is not told."""

import json
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stocksync.changes import Change, Kind, Phase
from stocksync.conditions import (
    PAUSE,
    Circuit,
    Condition,
    Measured,
    Minute,
    Rules,
    Turned,
    decide,
)
from tests.outbox import ACCOUNT, OTHER_ACCOUNT

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RULES = Rules(
    max_pending=1000,
    stale_hours=6,
    failure_rate_threshold=0.1,
    failure_rate_window_minutes=30,
    repeat_minutes=30,
    lease_seconds=60,
)
PATIENT = (Kind.PARKED, Kind.STALE, Kind.FAILURE_RATE)
FOLLOWING = (Kind.BACKLOG, Kind.STALE, Kind.FAILURE_RATE, Kind.STALLED)


@dataclass
class Story:
    """Turns, one after the other; between two of them nothing is kept but what is remembered."""

    rules: Rules = RULES
    now: datetime = START
    memory: tuple[Condition, ...] = ()
    told: list[Change] = field(default_factory=list)
    minutes: dict[datetime, tuple[int, int]] = field(default_factory=dict)
    opened: dict[str, datetime] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)
    turned: list[Turned] = field(default_factory=list)

    def open(self, token_id: str = "") -> None:
        self.opened[token_id] = self.now
        self.turned.append(Turned(token_id=token_id, is_open=True, at=self.now, reason="refused"))

    def close(self, token_id: str = "") -> None:
        del self.opened[token_id]
        self.turned.append(Turned(token_id=token_id, is_open=False, at=self.now, reason=None))

    def attempt(self, attempts: int, unproven: int) -> None:
        self.minutes[self.now.replace(second=0)] = (attempts, unproven)

    def turn(
        self,
        minutes: float = 1,
        **seen: Any,  # noqa: ANN401 - the fields of Measured
    ) -> list[tuple[Kind, Phase]]:
        """Let time pass, look, and give what is told."""
        self.now += timedelta(minutes=minutes)
        window = self.now - timedelta(minutes=self.rules.failure_rate_window_minutes)
        measured = Measured(
            now=self.now,
            circuits=tuple(
                Circuit(
                    token_id=token_id,
                    is_open=token_id in self.opened,
                    reason="refused" if token_id in self.opened else None,
                    opened_at=self.opened.get(token_id),
                    probes=3,
                    is_paused=token_id in self.paused,
                )
                for token_id in sorted({*self.opened, *self.paused})
            ),
            turned=tuple(self.turned),
            minutes=tuple(
                Minute(minute=at, attempts=attempts, unproven=unproven)
                for at, (attempts, unproven) in self.minutes.items()
                if at > window
            ),
            **seen,
        )
        self.turned = []
        decided = decide(restored(self.memory), measured, self.rules)
        self.memory = decided.conditions
        self.told += decided.changes
        return [(change.kind, change.phase) for change in decided.changes]


def restored(memory: tuple[Condition, ...]) -> list[Condition]:
    """As it comes out of the database."""
    return [replace(each, details=json.loads(json.dumps(each.details))) for each in memory]


def behind(rows: int, token_id: str = "") -> dict[str, Any]:
    kind = Kind.PARKED if token_id else Kind.OUTAGE
    return {"behind": {(kind, token_id): rows, (PAUSE, token_id): rows}}


# --- an outage -----------------------------------------------------------------------------------


def test_an_outage_is_two_messages_with_its_length_and_the_rows_that_waited() -> None:
    story = Story()
    story.open()
    assert story.turn(pending=8, **behind(8)) == [(Kind.OUTAGE, Phase.BEGAN)]
    assert story.turn(pending=1200, **behind(1200), stale={ACCOUNT: 3}) == []
    assert story.turn(pending=2000, **behind(2000), stale={ACCOUNT: 3}) == []
    story.close()
    assert story.turn(pending=1500, due_rows=1500, **behind(1500)) == [(Kind.OUTAGE, Phase.ENDED)]
    assert story.turn(pending=1100, due_rows=1100, **behind(1100)) == []
    assert story.turn() == []
    began, ended = story.told
    assert began.facts == {"reason": "refused", "waiting_rows": 8}
    assert began.at == START
    # The last look before the end saw 2,000 of them.
    assert ended.facts == {"seconds": 180.0, "waiting_rows": 2000, "reason": "refused"}
    assert ended.at == START + timedelta(minutes=3)


def test_an_outage_is_repeated_with_what_follows_from_it_as_lines() -> None:
    story = Story()
    story.open()
    story.attempt(30, 24)
    story.turn(**behind(8))
    assert story.turn(29, **behind(1200)) == []
    seen: dict[str, Any] = {
        "pending": 1200,
        "stale": {ACCOUNT: 2, OTHER_ACCOUNT: 1},
        "settled_seconds": 1900.0,
    }
    story.attempt(20, 4)
    assert story.turn(1, **seen, **behind(1200)) == [(Kind.OUTAGE, Phase.LASTS)]
    assert story.told[-1].facts == {
        "reason": "refused",
        "waiting_rows": 1200,
        "seconds": 31 * 60.0,
        "probes": 3,
        "hours": 6,
        "lines": {"failure_rate": 0.2, "stalled": 1900.0, "backlog": 1200, "stale": 3},
    }


def test_what_still_holds_when_the_backlog_of_an_outage_is_gone_is_told_by_itself() -> None:
    story = Story()
    story.open()
    story.turn(pending=2000, **behind(2000))
    story.close()
    story.turn(pending=2000, **behind(500))
    assert story.turn(pending=2000, **behind(0)) == [(Kind.BACKLOG, Phase.BEGAN)]


def test_a_backlog_that_takes_hours_to_go_is_explained_until_it_is_gone() -> None:
    story = Story()
    story.open()
    story.turn(pending=90000, **behind(90000))
    story.close()
    story.turn(pending=90000, **behind(90000))
    assert story.turn(200, pending=40000, **behind(30000)) == []
    assert story.turn(200, pending=2000, **behind(0)) == [(Kind.BACKLOG, Phase.BEGAN)]


def test_an_outage_that_ended_between_two_turns_is_told_once_with_its_length() -> None:
    story = Story()
    story.turn()
    story.open()
    story.now += timedelta(seconds=20)
    story.close()
    assert story.turn(0.5, **behind(40)) == [(Kind.OUTAGE, Phase.ENDED)]
    assert story.told[-1].facts == {"seconds": 20.0, "waiting_rows": 40, "reason": "refused"}
    assert story.turn(**behind(0)) == []


def test_an_outage_that_closed_and_opened_again_between_two_turns_goes_on() -> None:
    story = Story()
    story.open()
    story.turn(**behind(1))
    story.close()
    story.open()
    assert story.turn(**behind(1)) == []
    story.close()
    assert story.turn(**behind(1)) == [(Kind.OUTAGE, Phase.ENDED)]
    assert story.told[-1].facts["seconds"] == 120.0


def test_a_circuit_that_opens_again_after_a_told_end_is_a_new_outage() -> None:
    story = Story()
    for _ in range(3):
        story.open()
        assert story.turn(**behind(5)) == [(Kind.OUTAGE, Phase.BEGAN)]
        story.close()
        assert story.turn(**behind(5)) == [(Kind.OUTAGE, Phase.ENDED)]
        assert story.told[-1].facts["seconds"] == 60.0


def test_an_open_circuit_whose_event_is_unknown_is_an_outage_since_it_opened() -> None:
    story = Story()
    story.opened[""] = START - timedelta(minutes=5)
    assert story.turn() == [(Kind.OUTAGE, Phase.BEGAN)]
    assert story.told[-1].at == START - timedelta(minutes=5)


def test_delivery_that_stalls_after_an_outage_is_told_though_its_backlog_is_never_gone() -> None:
    story = Story()
    story.open()
    story.turn(**behind(2000))
    story.close()
    story.turn(**behind(2000))
    stalled: dict[str, Any] = {
        "stalled": ("rows due: 2000",),
        "due_rows": 2000,
        "pending": 2000,
        "oldest_due_seconds": 400.0,
        "settled_seconds": 130.0,
    }
    assert story.turn(5, **stalled, **behind(2000)) == [(Kind.STALLED, Phase.BEGAN)]
    assert story.told[-1].facts == {
        "reasons": ["rows due: 2000"],
        "due_rows": 2000,
        "oldest_due_seconds": 400.0,
        "quiet_seconds": 130.0,
    }
    assert story.turn(**behind(0)) == [(Kind.STALLED, Phase.ENDED)]


# --- an account, a pause -------------------------------------------------------------------------


def test_a_parked_account_explains_its_own_backlog_until_that_is_gone() -> None:
    story = Story()
    story.open(ACCOUNT)
    seen: dict[str, Any] = {"pending": 5000, "stale": {ACCOUNT: 9}}
    assert story.turn(**seen, **behind(4500, ACCOUNT)) == [(Kind.PARKED, Phase.BEGAN)]
    assert story.told[-1].token_id == ACCOUNT
    story.close(ACCOUNT)
    assert story.turn(**seen, **behind(4500, ACCOUNT)) == [(Kind.PARKED, Phase.ENDED)]
    assert story.turn(pending=1200, stale={ACCOUNT: 1}, **behind(700, ACCOUNT)) == []
    assert story.turn(pending=500, **behind(0, ACCOUNT)) == []


def test_another_accounts_backlog_beside_a_parked_one_is_told_and_so_is_its_end() -> None:
    story = Story()
    story.open(ACCOUNT)
    story.turn(pending=5000, **behind(5000, ACCOUNT))
    seen: dict[str, Any] = {"pending": 6200, "stale": {ACCOUNT: 9, OTHER_ACCOUNT: 1}}
    examples = tuple({"token_id": token_id} for token_id in (ACCOUNT, OTHER_ACCOUNT))
    told = story.turn(**seen, stale_examples=examples, **behind(5000, ACCOUNT))
    assert told == [(Kind.BACKLOG, Phase.BEGAN), (Kind.STALE, Phase.BEGAN)]
    assert story.told[-2].facts["pending"] == 1200
    expected = {"count": 1, "hours": 6, "examples": [{"token_id": OTHER_ACCOUNT}]}
    assert story.told[-1].facts == expected
    told = story.turn(pending=5000, stale={ACCOUNT: 9}, **behind(5000, ACCOUNT))
    assert told == [(Kind.BACKLOG, Phase.ENDED), (Kind.STALE, Phase.ENDED)]


def test_a_parked_account_is_repeated_with_its_own_rows_alone() -> None:
    story = Story()
    story.open(ACCOUNT)
    story.turn(**behind(4, ACCOUNT))
    seen: dict[str, Any] = {"pending": 2500, "stale": {ACCOUNT: 9, OTHER_ACCOUNT: 1}}
    assert (Kind.PARKED, Phase.LASTS) in story.turn(30, **seen, **behind(1400, ACCOUNT))
    lasts = next(change for change in story.told if change.phase is Phase.LASTS)
    assert lasts.facts["lines"] == {"backlog": 1400, "stale": 9}


def test_a_pause_is_not_told_and_explains_what_waits_for_it_until_that_is_gone() -> None:
    story = Story()
    story.paused.add("")
    seen: dict[str, Any] = {"pending": 3000, "stale": {ACCOUNT: 9}, **behind(3000)}
    assert story.turn(**seen) == []
    assert story.turn(60, **seen) == []
    story.paused.clear()
    assert story.turn(**seen) == []
    assert story.turn(pending=2500, **behind(2500)) == []
    assert story.turn(pending=2500, **behind(0)) == [(Kind.BACKLOG, Phase.BEGAN)]
    assert story.turn(**behind(0)) == [(Kind.BACKLOG, Phase.ENDED)]
    assert story.memory == ()


def test_an_account_that_a_lost_database_parked_is_part_of_the_outage() -> None:
    story = Story()
    story.open(ACCOUNT)
    story.now += timedelta(seconds=1)
    story.open()
    assert story.turn() == [(Kind.OUTAGE, Phase.BEGAN)]
    assert story.turn(31) == [(Kind.OUTAGE, Phase.LASTS)]
    story.close()
    assert story.turn(0.5) == [(Kind.OUTAGE, Phase.ENDED)]
    story.close(ACCOUNT)
    assert [story.turn(0.4), story.turn(60)] == [[], []]
    assert story.memory == ()


def test_an_account_that_stays_parked_after_an_outage_is_told_by_itself() -> None:
    story = Story()
    story.open()
    story.open(ACCOUNT)
    story.turn()
    story.close()
    assert story.turn(0.5) == [(Kind.OUTAGE, Phase.ENDED)]
    assert story.turn(0.5) == []
    assert story.turn(0.5) == [(Kind.PARKED, Phase.BEGAN)]
    assert story.turn(30) == [(Kind.PARKED, Phase.LASTS)]
    story.close(ACCOUNT)
    assert story.turn() == [(Kind.PARKED, Phase.ENDED)]


def test_an_account_that_was_parked_before_an_outage_is_no_part_of_it() -> None:
    story = Story()
    story.open(ACCOUNT)
    assert story.turn(3) == [(Kind.PARKED, Phase.BEGAN)]
    story.open()
    assert story.turn() == [(Kind.OUTAGE, Phase.BEGAN)]
    story.close(ACCOUNT)
    assert story.turn() == [(Kind.PARKED, Phase.ENDED)]


# --- numbers -------------------------------------------------------------------------------------


def test_a_backlog_is_told_once_repeated_after_the_repeat_time_and_ended() -> None:
    story = Story()
    seen: dict[str, Any] = {
        "pending": 1500,
        "due_rows": 1400,
        "oldest_due_seconds": 60.0,
        "backlog_seconds": 90.0,
    }
    assert story.turn(**seen) == [(Kind.BACKLOG, Phase.BEGAN)]
    facts = {"pending": 1500, "limit": 1000, "oldest_due_seconds": 60.0, "backlog_seconds": 90.0}
    assert story.told[-1].facts == facts
    assert story.turn(29, **seen) == []
    assert story.turn(1, **seen) == [(Kind.BACKLOG, Phase.LASTS)]
    assert story.told[-1].facts == facts | {"seconds": 1800.0}
    assert story.turn(29, **seen) == []
    assert story.turn(pending=10) == [(Kind.BACKLOG, Phase.ENDED)]
    assert story.told[-1].facts == {"seconds": 3600.0, "pending": 10, "limit": 1000}


@pytest.mark.parametrize(
    ("seen", "is_told"),
    [
        # A burst, or the first seconds of an outage.
        ({"oldest_due_seconds": 3.0, "proven_seconds": 0.5, "in_flight": 8}, False),
        ({"oldest_due_seconds": 5.0, "proven_seconds": 0.5, "in_flight": 8}, True),
        # Calls hang, or only fail: an outage may be seen soon.
        ({"oldest_due_seconds": 9.0, "proven_seconds": 9.0, "in_flight": 8}, False),
        ({"oldest_due_seconds": 9.0, "proven_seconds": 7200.0, "in_flight": 8}, False),
        ({"oldest_due_seconds": 9.0, "proven_seconds": None, "in_flight": 8}, False),
        ({"oldest_due_seconds": 7200.0, "proven_seconds": 9.0, "in_flight": 8}, False),
        # By now it would have been.
        ({"oldest_due_seconds": 90.0, "proven_seconds": 90.0, "in_flight": 8}, True),
        # Nobody is pushing.
        ({"oldest_due_seconds": 9.0, "proven_seconds": 9.0, "in_flight": 0}, True),
        # Nothing is due: all wait for their retries.
        ({"oldest_due_seconds": None, "proven_seconds": 9.0, "in_flight": 8}, True),
    ],
)
def test_a_backlog_is_not_told_before_it_is_known_whether_an_outage_is_behind_it(
    seen: dict[str, Any], is_told: bool
) -> None:
    assert bool(Story().turn(pending=1500, **seen)) is is_told


def test_a_backlog_that_hovers_about_its_limit_is_one() -> None:
    story = Story()
    told = [story.turn(pending=pending) for pending in (1000, 1001, 999, 1001, 801, 1200, 800)]
    assert [each for each in told if each] == [
        [(Kind.BACKLOG, Phase.BEGAN)],
        [(Kind.BACKLOG, Phase.ENDED)],
    ]
    assert told[-1]


def test_a_backlog_from_before_an_outage_is_silent_in_it_and_ends_after_it() -> None:
    story = Story()
    story.turn(pending=1500)
    story.open()
    assert story.turn(pending=1500, **behind(1500)) == [(Kind.OUTAGE, Phase.BEGAN)]
    assert story.turn(30, pending=1500, **behind(1500)) == [(Kind.OUTAGE, Phase.LASTS)]
    story.close()
    assert story.turn(pending=100, **behind(100)) == [(Kind.OUTAGE, Phase.ENDED)]
    assert story.turn(pending=0, **behind(0)) == [(Kind.BACKLOG, Phase.ENDED)]
    assert story.told[-1].facts["seconds"] == 33 * 60.0


@pytest.mark.parametrize(
    ("attempts", "unproven", "is_told"),
    [(19, 19, False), (20, 2, False), (20, 3, True), (100, 10, False), (100, 11, True)],
)
def test_a_failure_rate_counts_from_twenty_attempts_on(
    attempts: int, unproven: int, is_told: bool
) -> None:
    story = Story()
    story.attempt(attempts, unproven)
    assert bool(story.turn(error="HTTP 500")) is is_told
    if is_told:
        assert story.told[-1].facts == {
            "rate": unproven / attempts,
            "threshold": 0.1,
            "attempts": attempts,
            "unproven": unproven,
            "window_minutes": 30,
            "error": "HTTP 500",
        }


def test_a_failure_rate_that_hovers_ends_below_half_of_its_threshold() -> None:
    story = Story()
    told = []
    for attempts, unproven in ((100, 11), (200, 18), (300, 33), (400, 21), (400, 20)):
        story.minutes.clear()
        story.attempt(attempts, unproven)
        told.append(story.turn())
    assert told == [
        [(Kind.FAILURE_RATE, Phase.BEGAN)],
        [],
        [],
        [],
        [(Kind.FAILURE_RATE, Phase.ENDED)],
    ]
    expected = {"seconds": 240.0, "rate": 0.05, "threshold": 0.1, "attempts": 400}
    assert story.told[-1].facts == expected


def test_the_failures_of_an_outage_are_not_told_as_a_failure_rate_after_it() -> None:
    story = Story()
    story.attempt(400, 5)
    story.now += timedelta(minutes=10)
    story.attempt(60, 40)
    story.open()
    story.turn(**behind(5))
    story.attempt(8, 8)
    story.turn(**behind(5))
    story.close()
    told = [story.turn(**behind(0)) for _ in range(45)]
    assert [each for each in told if each] == [[(Kind.OUTAGE, Phase.ENDED)]]
    assert story.memory == ()


def test_failures_just_before_an_outage_opened_and_just_after_it_ended_are_its_own() -> None:
    story = Story()
    story.attempt(30, 10)
    story.now += timedelta(minutes=2)
    story.open()
    story.turn()
    story.close()
    story.now += timedelta(seconds=40)
    story.attempt(30, 10)
    assert [story.turn(0.1) for _ in range(3)] == [[(Kind.OUTAGE, Phase.ENDED)], [], []]


def test_a_failure_rate_of_after_an_outage_is_told_while_the_outage_is_in_the_window() -> None:
    story = Story()
    story.attempt(60, 40)
    story.open()
    story.turn(5)
    story.close()
    story.turn(0.1)
    story.now += timedelta(minutes=3)
    story.attempt(100, 30)
    assert story.turn() == [(Kind.FAILURE_RATE, Phase.BEGAN)]
    assert story.told[-1].facts["rate"] == 0.3


def test_each_outage_of_a_flapping_service_keeps_its_failures_out_of_the_rate() -> None:
    story = Story()
    for _ in range(4):
        story.attempt(30, 20)
        story.open()
        story.turn()
        story.close()
        story.turn()
        story.now += timedelta(minutes=4)
        story.attempt(30, 0)
        story.turn()
    assert {change.kind for change in story.told} == {Kind.OUTAGE}


def test_the_failures_that_parked_an_account_are_no_failure_rate_but_those_of_others_are() -> None:
    story = Story()
    story.attempt(30, 5)
    story.open(ACCOUNT)
    assert story.turn() == [(Kind.PARKED, Phase.BEGAN)]
    story.now += timedelta(minutes=5)
    story.attempt(30, 5)
    assert story.turn() == [(Kind.FAILURE_RATE, Phase.BEGAN)]


def test_a_failure_rate_does_not_end_because_an_outage_hides_it() -> None:
    story = Story()
    story.attempt(100, 30)
    assert story.turn() == [(Kind.FAILURE_RATE, Phase.BEGAN)]
    story.open()
    assert story.turn() == [(Kind.OUTAGE, Phase.BEGAN)]
    assert story.turn(29) == []
    assert story.turn(30) == [(Kind.OUTAGE, Phase.LASTS)]


# --- how often it is said ------------------------------------------------------------------------


def hours_of_repeats(kind: Kind, rules: Rules = RULES) -> list[float]:
    """When it was told again, in a week of it."""
    story, hours = Story(rules=rules), []
    if kind in (Kind.OUTAGE, Kind.PARKED):
        story.open(ACCOUNT if kind is Kind.PARKED else "")
    seen: dict[Kind, dict[str, Any]] = {
        Kind.BACKLOG: {"pending": 5000},
        Kind.STALE: {"stale": {ACCOUNT: 1}},
        Kind.STALLED: {"stalled": ("nothing moves",)},
    }
    for _ in range(7 * 24 * 6):
        if kind is Kind.FAILURE_RATE:
            story.attempt(100, 50)
        for told in story.turn(10, **seen.get(kind, {})):
            assert told[0] is kind
            if told[1] is Phase.LASTS:
                hours.append((story.now - START).total_seconds() / 3600)
    return [round(hour - 1 / 6, 1) for hour in hours]


@pytest.mark.parametrize("kind", PATIENT)
def test_what_may_last_for_weeks_is_told_ever_more_rarely_down_to_once_a_day(kind: Kind) -> None:
    told = hours_of_repeats(kind)
    distances = [later - earlier for earlier, later in pairwise([0, *told])]
    assert distances == sorted(distances)
    assert (distances[0], distances[-1]) == pytest.approx((0.5, 24), abs=0.2)
    assert len(told) <= 12


@pytest.mark.parametrize("kind", [Kind.OUTAGE, Kind.STALLED, Kind.BACKLOG])
def test_what_somebody_must_mend_now_is_told_again_at_one_distance(kind: Kind) -> None:
    assert len(hours_of_repeats(kind)) == 7 * 24 * 2 - 1


def test_a_repeat_time_of_days_is_kept_for_all() -> None:
    told = hours_of_repeats(Kind.PARKED, replace(RULES, repeat_minutes=3 * 24 * 60))
    assert told == pytest.approx([72, 144], abs=0.5)


# --- for every story -----------------------------------------------------------------------------

TOKENS = ("", ACCOUNT, OTHER_ACCOUNT)
happenings = st.lists(st.tuples(st.sampled_from(TOKENS), st.integers(1, 50)), max_size=4)
turns = st.fixed_dictionaries(
    {
        "happenings": happenings,
        "pause": st.sampled_from([None, None, None, *TOKENS]),
        "seconds": st.integers(60, 1200),
        "pending": st.sampled_from([0, 500, 900, 1001, 5000]),
        "stalled": st.sampled_from([(), (), ("nothing moves",)]),
        "stale": st.sampled_from([{}, {ACCOUNT: 2}, {OTHER_ACCOUNT: 1}]),
        "behind": st.dictionaries(
            st.tuples(st.sampled_from([Kind.OUTAGE, Kind.PARKED, PAUSE]), st.sampled_from(TOKENS)),
            st.sampled_from([0, 0, 1, 4000]),
        ),
        "attempts": st.sampled_from([(0, 0), (30, 0), (30, 2), (30, 15)]),
    }
)


@dataclass
class Told:
    """What a story's changes come to, by kind and account, turn for turn."""

    began_at: dict[tuple[Kind, str], datetime] = field(default_factory=dict)
    told_at: dict[tuple[Kind, str], datetime] = field(default_factory=dict)
    counts: dict[Phase, int] = field(default_factory=lambda: defaultdict(int))

    def hear(self, change: Change, story: Story, was_open: set[str]) -> None:
        key = (change.kind, change.token_id)
        self.counts[change.phase] += 1
        if change.phase is Phase.BEGAN:
            assert key not in self.began_at, "two beginnings without an end"
            self.began_at[key] = self.told_at[key] = story.now
            return
        if change.phase is Phase.LASTS:
            assert key in self.began_at
            repeat = timedelta(minutes=story.rules.repeat_minutes)
            if change.kind in PATIENT:
                lasted = self.told_at[key] - self.began_at[key]
                repeat = max(repeat, min(lasted, timedelta(days=1)))
            assert story.now - self.told_at[key] >= repeat, "repeated too soon"
            self.told_at[key] = story.now
            return
        if self.began_at.pop(key, None) is None:
            assert change.kind in (Kind.OUTAGE, Kind.PARKED), "an end of nothing"
            assert change.token_id not in {*was_open, *story.opened}
        assert change.facts["seconds"] >= 0


@given(st.lists(turns, min_size=1, max_size=25))
def test_in_every_story_beginnings_and_ends_alternate_and_repeats_keep_their_distance(
    plan: list[dict[str, Any]],
) -> None:
    story, heard = Story(), Told()
    for turn in plan:
        was_open = set(story.opened)
        for token_id, seconds in turn["happenings"]:
            story.now += timedelta(seconds=seconds)
            (story.close if token_id in story.opened else story.open)(token_id)
        if turn["pause"] is not None:
            story.paused ^= {turn["pause"]}
        story.attempt(*turn["attempts"])
        seen = {name: turn[name] for name in ("pending", "stalled", "stale", "behind")}
        before = len(story.told)
        story.turn(turn["seconds"] / 60, **seen)
        for change in story.told[before:]:
            heard.hear(change, story, was_open)
        # What is said to last is what does.
        of_circuits = {t for kind, t in heard.began_at if kind in (Kind.OUTAGE, Kind.PARKED)}
        untold = {c.token_id for c in story.memory if c.kind == Kind.PARKED and c.told_at is None}
        assert of_circuits == set(story.opened) - untold
        told = {change.kind for change in story.told[before:]}
        if "" in story.opened or "" in story.paused:
            assert not told & set(FOLLOWING), "explained, and yet told"
        if any(turn["behind"].get(c.key) and not c.token_id for c in story.memory):
            assert not told & {Kind.BACKLOG, Kind.STALE}, "explained, and yet told"
        # Another daemon's turn right after this one, or a restart.
        assert story.turn(0, **seen) == []


@given(st.lists(turns, min_size=1, max_size=10))
def test_in_every_story_nothing_is_remembered_for_ever(plan: list[dict[str, Any]]) -> None:
    story = Story()
    for turn in plan:
        for token_id, seconds in turn["happenings"]:
            story.now += timedelta(seconds=seconds)
            (story.close if token_id in story.opened else story.open)(token_id)
        seen = {name: turn[name] for name in ("pending", "stalled", "stale", "behind")}
        story.turn(turn["seconds"] / 60, **seen)
    for token_id in list(story.opened):
        story.close(token_id)
    story.turn()
    story.turn(40)
    assert story.memory == ()
