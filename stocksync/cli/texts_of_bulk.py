"""Texts: what bulk retry and cancel show to people: the count first, then what was done."""

from collections.abc import Sequence

from stocksync.cli.layout import count, hanging, one_line
from stocksync.operations import Failed, Share

_LONGEST_ERROR = 120


def counted(failed: Failed) -> str:
    """How many there are, of whom, and why."""
    if not failed.count:
        return f"no operation{_matching(failed)} has failed"
    lines = [f"{count(failed.count, 'operation')}{_matching(failed)} failed"]
    lines += _shares("account", failed.accounts, failed.account_count)
    lines += _shares("error", failed.errors, failed.error_count)
    return "\n".join(lines)


def left(command: str) -> str:
    """Nothing was done, and how it would be."""
    # In one piece, however long: it is to be pasted.
    return f"nothing was changed; this does it:\n  {one_line(command)}"


def done(verb: str, failed: Failed, changed: int) -> str:
    """What was done of what was counted."""
    did = {"retry": "due now", "cancel": "cancelled; their orders are pushed again"}[verb]
    passed = failed.count - changed
    rest = (
        f"; {passed} passed over, changed by others meanwhile, or not reached" if passed > 0 else ""
    )
    return hanging("", f"{count(changed, 'operation')} {did}{rest}")


def _matching(failed: Failed) -> str:
    account = "" if failed.token_id is None else f" of the account {failed.token_id}"
    error = "" if failed.error is None else f" with {one_line(failed.error)!r} in its error"
    return f"{account}{error}"


def _shares(what: str, shares: Sequence[Share], total: int) -> list[str]:
    room = max(len(str(share.count)) for share in shares)
    lines = [
        hanging(
            f"  {what.ljust(7)}  {str(share.count).rjust(room)} × ",
            one_line(share.name or "none was written down", _LONGEST_ERROR),
        )
        for share in shares
    ]
    hidden = total - len(shares)
    return [*lines, f"  {what.ljust(7)}  … and {hidden} more"] if hidden else lines
