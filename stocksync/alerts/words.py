"""Words: what each language has to say; templates as `speech` reads them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import assert_never

from stocksync.changes import Kind, Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Headlines:
    """A condition in a few words."""

    began: str
    lasts: str
    ended: str
    was: str
    """It began and ended before it could be told."""
    lasted: str
    """Under `ended`: what it was, for how long, until when."""

    def of(self, phase: Phase | None) -> str:
        """For this phase; None: `was`."""
        match phase:
            case Phase.BEGAN:
                return self.began
            case Phase.LASTS:
                return self.lasts
            case Phase.ENDED:
                return self.ended
            case Phase.HAPPENED | None:
                return self.was
        assert_never(phase)


@dataclass(frozen=True, slots=True, kw_only=True)
class BotWords:
    """What the bot says, and on which buttons one presses."""

    retry: str
    mute: str
    probe: str
    probe_account: str
    help: str
    acts: Mapping[str, str]
    """What a button did, for its answer and for the message."""
    done_by: str
    passed_over: str
    not_listed: str
    nothing_to_retry: str
    muted_already: str
    not_parked: str
    not_known_any_more: str

    verdicts: Mapping[str, str]
    status_reason: str
    status_rows: str
    status_oldest: str
    status_failed: str
    status_muted: str
    none_failed: str
    failed_how: str
    reconcile_asked: str
    reconcile_unknown: str
    which_id: str
    unknown_command: str

    unknown_operation: str
    not_possible: str
    database_away: str
    waits_for_database: str
    went_wrong: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlotWords:
    """What stands on the plot of the day."""

    title: str
    completed: str
    waiting: str
    hours: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Everything that is said in a language."""

    plural: Callable[[int], int]
    """Which form of a noun goes with a number."""
    thousands: str
    decimal: str
    percent: str
    """# stands for the number."""
    units: tuple[str, str, str, str]
    """Days, hours, minutes, seconds."""
    quoted: str
    """# stands for the name."""

    conditions: Mapping[Kind, Headlines]
    """Of all that last but an outage."""
    outages: Mapping[str, Headlines]
    """By the beginning of the circuit's reason; the last one, "", fits all others."""
    several_parked: Mapping[Phase, str]
    happened: Mapping[Kind, str]

    since: str
    noticed: str
    reason: str
    reasons: Mapping[str, str]
    """What a circuit's own words are in this language, by the beginning of its reason."""
    most_often: str
    waiting: str
    rows_wait: str
    next_in_line: str
    released: str
    is_safe: str
    until_sent: str
    nothing_to_do: str
    current_status: str
    effects: str
    follows: Mapping[str, str]
    """By the kinds in a change's `lines`."""

    outage_meanings: Mapping[str, str]
    """By the beginning of the circuit's reason, like `outages`."""
    outage_acts: Mapping[str, str]
    """The same."""
    parked_meaning: str
    several_parked_meaning: str
    parked_act: str
    several_parked_act: str
    stalled_due: str
    stalled_quiet: str
    stalled_meaning: str
    stalled_look: str
    stalled_restart: str
    stalled_else: str
    alert_threshold: str
    nothing_is_sent: str
    """Behind the number in a backlog's headline."""
    backlog_takes: str
    backlog_not_due: str
    backlog_acts: Mapping[Phase, str]
    stale_oldest: str
    stale_act: str
    failure_rate_counts: str
    failure_rate_meaning: str
    failure_rate_act: str

    refused: str
    used_up: str
    failed_now: str
    accounts: str
    failed_meaning: str
    failed_again: str
    failed_act: str
    failed_act_many: str
    failed_then_many: str
    negative_meaning: str
    negative_act: str
    negative_correct: str
    discrepancies_repaired: str
    discrepancies_left: str
    discrepancies_meaning: str
    discrepancies_too_old: str
    """How old, where that is known."""
    discrepancy_acts: Mapping[str, str]
    discrepancies_act: str
    discrepancies_correct: str
    deducted: str
    not_deducted: str

    report_pushed: str
    report_first_try: str
    report_retries: str
    report_retry_time: str
    report_failed: str
    report_discrepancies: str
    report_slowest: str
    report_act: str
    notice: str
    notice_by: str
    crashed: str
    crashed_meaning: str
    crashed_look: str
    crashed_restart: str

    example: str
    example_balance: str
    example_flags: str
    example_acts: Mapping[str, str]
    of_error: str
    orders: str
    no_error: str
    more_orders: str
    more_rows: str

    late: str
    late_why: str
    late_folded: str
    late_parts: Mapping[str, str]
    """Lasting, undecided, over."""
    late_details: str
    as_of: str
    left_out: str

    plot: PlotWords
    bot: BotWords
