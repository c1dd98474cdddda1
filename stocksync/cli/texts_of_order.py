"""Texts: what `show --order` shows to people: why an order is not synchronised."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from stocksync.cli.documents import ServiceFlag
from stocksync.cli.layout import count, distance, moment, one_line, pairs
from stocksync.cli.texts import lease, operations
from stocksync.cli.texts_of_circuits import TO_MEND_AN_ACCOUNT, holding
from stocksync.cli.texts_of_status import TO_START_ONE
from stocksync.model import Cause, Status
from stocksync.operations import Attempt, Order, Wait

# So long the service may still apply a call that was given up (README: "Ambiguous").
VERIFIED_AFTER = timedelta(seconds=60)
_OF_AN_ORDER = ("ID", "STATUS", "WHAT", "RETRIES", "CREATED", "WHEN")


def orders(orders: Sequence[Order], flags: Sequence[ServiceFlag], *, max_retries: int) -> str:
    """How an order stands, for each account that knows it."""
    return "\n\n".join(
        _order(order, flag, max_retries) for order, flag in zip(orders, flags, strict=True)
    )


def _order(order: Order, flag: ServiceFlag, max_retries: int) -> str:
    carried = f", {order.carried_balance} of it carried from rows removed since"
    about = pairs(
        [
            ("account", order.token_id),
            ("balance", f"{order.balance}{carried if order.carried_balance else ''}"),
            ("wanted flag", _flag(order.wanted_flag)),
            ("flag at service", flag.why_not or _compared(order, flag)),
            ("last attempt", _attempted(order.last_attempt, order)),
            ("waits for", _waits(order)),
            ("no daemon", _nobody_works(order)),
            *holding(order.circuits, order.now),
            ("to mend it", TO_MEND_AN_ACCOUNT if _is_account_unknown(order) else None),
            ("ambiguous", _ambiguous(order)),
            ("reconciling", _reconciled(order)),
        ]
    )
    rows = "no rows"
    if order.operations:
        rows = operations(
            order.operations,
            order.now,
            head=_OF_AN_ORDER,
            drop=("CREATED", "RETRIES"),
            max_retries=max_retries,
        )
    return f"order {one_line(order.order_id)}\n{about}\n\n{rows}"


def _compared(order: Order, flag: ServiceFlag) -> str:
    is_same = flag.flag is order.wanted_flag
    return f"{_flag(flag.flag)}{'' if is_same else ' (not what is wanted)'}"


def _flag(flag: bool | None) -> str:  # noqa: FBT001 - the flag is the subject
    return str(flag).lower()


def _attempted(attempt: Attempt | None, order: Order) -> str:
    if attempt is None:
        return "none"
    by = f" by {attempt.by}" if attempt.by else ""
    when = f"{distance(attempt.at, order.now)}{by}"
    if attempt.action == "lease_expired":
        return f"its lease was found expired {when}: whether the service has it is not known"
    took = "" if attempt.duration_ms is None else f" (after {attempt.duration_ms} ms)"
    return f"{when}: {'proven' if attempt.is_proven else attempt.error or attempt.action}{took}"


def _ambiguous(order: Order) -> str | None:
    if order.ambiguous_at is None:
        return None
    since = moment(order.ambiguous_at, order.now)
    return (
        f"since {since}: the service may still apply an older call after a newer one; "
        f"{_verified(order, order.ambiguous_at)}"
    )


def _verified(order: Order, ambiguous_at: datetime) -> str:
    open_ = (Status.PENDING, Status.PROCESSING, Status.FAILED)
    if order.waits_for is not Wait.NOTHING or any(o.status in open_ for o in order.operations):
        return "its flag is read again when none of its rows is open and nothing waits"
    read_at = ambiguous_at + VERIFIED_AFTER
    return f"its flag is read again {distance(max(read_at, order.now), order.now)}"


def _reconciled(order: Order) -> str | None:
    seen = order.reconciled
    if seen is None:
        return None
    found = f"found {_flag(seen.found)} {distance(seen.at, order.now)}, wanted {_flag(seen.wanted)}"
    did = {
        "repaired": "pushed again",
        "left": "left as it was: settled too long ago",
        "given_up": "given up for a day: wrong again after each repair",
    }.get(seen.act, seen.act)
    times = f" (repair {order.repairs} in a row)" if order.repairs > 1 else ""
    return f"{found}: {did}{times}{f', by {seen.by}' if seen.by else ''}"


def _is_account_unknown(order: Order) -> bool:
    if any(circuit.is_open and not circuit.is_service for circuit in order.circuits):
        return True
    # Not parked yet: that takes some more of its orders.
    last = order.last_attempt
    return order.waits_for is Wait.RETRY and last is not None and last.cause == Cause.TOKEN


def _waits(order: Order) -> str:
    failed = [each.id for each in order.operations if each.status is Status.FAILED]
    if not failed:
        return _until(order)
    which = f"{failed[0]}{'' if len(failed) == 1 else ' …'}"
    return (
        f"{_until(order)}; {count(len(failed), 'failed row')}: when the cause is mended, stocksync "
        f"retry {which}; what shall never be pushed: stocksync cancel {which}"
    )


def _nobody_works(order: Order) -> str | None:
    if order.has_daemon or order.waits_for in {Wait.NOTHING, Wait.PERSON}:
        return None
    return f"lives that could push it; {TO_START_ONE}"


def _until(order: Order) -> str:
    until = order.waits_until
    is_retry = any(o.status is Status.PENDING and o.error_message for o in order.operations)
    when = "soon" if until is None else moment(until, order.now)
    words = {
        Wait.IN_FLIGHT: f"the push in flight; {lease(order.lease_until, order.now)}",
        Wait.DUE: f"a daemon to claim it: due since {when} (who works: stocksync status)",
        Wait.RETRY: f"its next {'retry' if is_retry else 'row'}, due at {when}",
        Wait.PUSH_AGAIN: f"being pushed again at {when}",
        Wait.PAUSE: f"the end of a pause, at {when}",
        Wait.SERVICE: f"the service to work again; the next probe is due {when}",
        Wait.ACCOUNT: f"the service to know its account; the next probe is due {when}",
        Wait.PERSON: "a person",
        Wait.NOTHING: "nothing",
    }
    return words[order.waits_for]
