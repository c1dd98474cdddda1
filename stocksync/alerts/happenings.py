"""Happenings: what is said of what has no duration."""

import shlex
from collections.abc import Iterator, Sequence

from stocksync.alerts.errors import errors
from stocksync.alerts.facts import LONGEST_ID, Facts, line_of
from stocksync.alerts.headlines import LONGEST_UNIT, is_crash, undecided
from stocksync.alerts.layout import Line, command
from stocksync.alerts.teller import Teller, each_of, examples_of, show_order, sum_of
from stocksync.changes import EXAMPLES, Change

LONGEST_NOTICE = 3000
"""UTF-16 units: leaves room for who sent it."""
LIST_FAILED = ("stocksync", "list", "--status", "failed")
RETRY_FAILED = ("stocksync", "retry", "--failed")


def failed(teller: Teller, changes: Sequence[Change]) -> Iterator[Line]:
    """Rows failed for good."""
    words, count = teller.words, sum_of(changes, "count")
    refused = sum_of(changes, "refused")
    is_told_apart = all(Facts(each.facts).number("refused") is not None for each in changes)
    if is_told_apart and refused:
        yield teller.line(words.refused, count=refused)
    if is_told_apart and (used_up := count - refused) > 0:
        yield teller.line(words.used_up, count=used_up)
    if (failed_now := Facts(changes[-1].facts).count("failed_now")) > count:
        yield teller.line(words.failed_now, count=failed_now)
    accounts: dict[str, int] = {}
    for each in each_of(changes, "accounts"):
        token_id = each.text("token_id", LONGEST_ID)
        accounts[token_id] = accounts.get(token_id, 0) + each.count("count")
    if accounts:
        yield teller.line(words.accounts, accounts=_most(teller, accounts))
    yield from errors(teller, changes)
    yield teller.line(words.failed_meaning)
    yield teller.line(words.failed_again)
    if len(ids := _operation_ids(changes)) == count:
        yield teller.act(words.failed_act)
        yield command(shlex.join(["stocksync", "retry", *ids]))
    else:
        of_one = [f"--token={token_id}" for token_id in accounts if len(accounts) == 1]
        yield teller.act(words.failed_act_many)
        yield command(shlex.join([*LIST_FAILED, *of_one]))
        yield teller.act(words.failed_then_many)
        yield command(shlex.join([*RETRY_FAILED, *of_one]))


def _operation_ids(changes: Sequence[Change]) -> list[str]:
    """As many as anybody types; none: they are more, or not known."""
    known = [each for change in changes for each in Facts(change.facts).texts("operation_ids")]
    known = known or [each.text("operation_id", LONGEST_ID) for each in examples_of(changes)]
    return known if len(known) <= EXAMPLES and all(known) else []


def negative(teller: Teller, changes: Sequence[Change]) -> Iterator[Line]:
    """Orders have a negative sum."""
    words, examples = teller.words, examples_of(changes)
    yield teller.line(words.negative_meaning)
    for each in examples:
        balance = each.count("balance")
        yield teller.example(each, teller.speech.text(words.example_balance, balance=balance))
    yield teller.act(words.negative_act)
    yield command(show_order(examples))
    yield teller.act(words.negative_correct)


def discrepancies(teller: Teller, changes: Sequence[Change]) -> Iterator[Line]:
    """Reconciling found flags that differ."""
    words = teller.words
    # What nobody decides but a person comes first, and is not an example too many.
    found = each_of(changes, "examples")
    examples = sorted(found, key=lambda each: each.raw("act") == "repaired")[:EXAMPLES]
    yield teller.line(words.discrepancies_meaning)
    hours = Facts(changes[-1].facts).count("hours")
    for act, template in words.discrepancy_acts.items():
        if count := sum_of(changes, act):
            is_aged = act == "left" and hours > 0
            said = words.discrepancies_too_old if is_aged else template
            yield teller.line(said, count=count, hours=hours)
    for each in examples:
        flags = {
            name: words.deducted if each.values.get(name) is True else words.not_deducted
            for name in ("wanted", "found")
        }
        done = words.example_acts.get(each.raw("act"), "")
        yield teller.example(each, teller.speech.text(words.example_flags, **flags), done)
    if undecided(changes):
        yield teller.act(words.discrepancies_act)
        yield command(show_order(examples))
        yield teller.act(words.discrepancies_correct)
    else:
        yield teller.act(words.nothing_to_do)


def daily_report(teller: Teller, changes: Sequence[Change]) -> Iterator[Line]:
    """A day in numbers."""
    facts, words = Facts(changes[-1].facts), teller.words
    orders, rows = facts.count("orders_pushed"), facts.count("rows_completed")
    yield teller.line(words.report_pushed, orders=orders, rows=rows)
    if (share := facts.number("first_try_share")) is not None:
        yield teller.line(words.report_first_try, share=share)
    yield teller.line(words.report_retries, count=facts.count("row_retries"))
    if (seconds := facts.number("mean_retry_seconds")) is not None:
        yield teller.line(words.report_retry_time, seconds=seconds)
    failed_now = facts.count("failed_now")
    yield teller.line(words.report_failed, rows=facts.count("rows_failed"), now=failed_now)
    found, repaired = facts.count("discrepancies_found"), facts.count("discrepancies_repaired")
    yield teller.line(words.report_discrepancies, found=found, repaired=repaired)
    slowest = facts.inner("slowest_account")
    if token_id := slowest.raw("token_id"):
        yield teller.line(
            words.report_slowest,
            account=teller.account(token_id),
            seconds=slowest.number("mean_seconds") or 0.0,
            rows=slowest.count("rows"),
        )
    if failed_now:
        yield teller.act(words.report_act)
        yield command(shlex.join(LIST_FAILED))
    else:
        yield teller.act(words.nothing_to_do)


def notice(teller: Teller, changes: Sequence[Change]) -> Iterator[Line]:
    """Somebody's own words, or systemd's; what it says is its headline."""
    change, words = changes[-1], teller.words
    facts = Facts(change.facts)
    if is_crash(change):
        unit = facts.text("unit", LONGEST_UNIT)
        yield teller.line(words.crashed_meaning)
        yield teller.act(words.crashed_look)
        yield command(shlex.join(["systemctl", "status", unit]))
        yield teller.act(words.crashed_restart)
        yield command(shlex.join(["systemctl", "restart", unit]))
    elif by := facts.text("by", LONGEST_ID):
        yield teller.line(words.notice_by, by=by, at=change.at)


def told_by(teller: Teller, change: Change) -> str:
    """A notice as it was written."""
    # Its lines are kept, all other control characters are not.
    text = line_of(Facts(change.facts).raw("text").replace("\n", _BREAK), LONGEST_NOTICE)
    return text.replace(_BREAK, "\n").strip() or teller.words.notice


_BREAK = "⏎"


def _most(teller: Teller, accounts: dict[str, int]) -> str:
    """The accounts of most rows, with their numbers."""
    most = sorted(accounts.items(), key=lambda counted: -counted[1])
    said = [f"{teller.account(a)} – {teller.speech.number(n)}" for a, n in most[:EXAMPLES]]
    return ", ".join([*said, "…"] if len(most) > EXAMPLES else said)
