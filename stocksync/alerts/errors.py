"""Errors: what went wrong, each once, with how many operations and which orders met it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from stocksync.alerts.facts import LONGEST_ID
from stocksync.alerts.layout import Line, Rank
from stocksync.alerts.teller import Teller, each_of, examples_of, sum_of
from stocksync.changes import EXAMPLES, Change
from stocksync.message import Code, Part


@dataclass(slots=True, kw_only=True)
class _Group:
    rows: int = 0
    orders: int = 0
    shown: dict[str, dict[str, None]] = field(default_factory=dict)
    """Orders by account, each once."""


def errors(teller: Teller, changes: Sequence[Change]) -> Iterator[Line]:
    """The most frequent errors; of changes that do not count them, those of the examples."""
    words, groups = teller.words, _groups(changes)
    accounts = {token_id for group in groups.values() for token_id in group.shown}
    with_account = len(accounts) > 1 or not each_of(changes, "accounts")
    for error, group in groups.items():
        said = teller.line(words.of_error, rows=group.rows, error=error or words.no_error)
        which = _which(teller, group, with_account=with_account)
        yield Line((*said.parts, *which), Rank.EXAMPLE)
    if (others := sum_of(changes, "count") - sum(group.rows for group in groups.values())) > 0:
        yield teller.line(words.more_rows, rank=Rank.EXAMPLE, count=others)


def _groups(changes: Sequence[Change]) -> dict[str, _Group]:
    """By error, the most frequent first."""
    groups: dict[str, _Group] = {}
    counted = each_of(changes, "errors")
    for each in counted:
        group = groups.setdefault(each.text("error"), _Group())
        group.rows += each.count("count")
        group.orders += each.count("orders")
    for each in examples_of(changes):
        group = groups.setdefault(each.text("error"), _Group())
        of_account = group.shown.setdefault(each.raw("token_id"), {})
        order_id = each.text("order_id", LONGEST_ID)
        if not counted:
            group.rows += 1
            group.orders += order_id not in of_account
        of_account[order_id] = None
    most = sorted(groups.items(), key=lambda found: -found[1].rows)
    return {error: group for error, group in most[:EXAMPLES] if group.rows}


def _which(teller: Teller, group: _Group, *, with_account: bool) -> list[Part]:
    shown = sum(map(len, group.shown.values()))
    if not shown:
        return []
    parts: list[Part] = ["\n", teller.words.orders]
    for token_id, orders in group.shown.items():
        for order_id in orders:
            parts += [Code(order_id), ", "]
        if with_account:
            parts[-1:] = [f" ({teller.account(token_id)})", ", "]
    parts.pop()
    if (more := group.orders - shown) > 0:
        parts += [", ", teller.speech.text(teller.words.more_orders, count=more)]
    return parts
