"""Parameters: what each may be, said once: for the check, its message, and the OpenAPI document."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote
from uuid import UUID

from stocksync.model import Status
from stocksync.web.answers import Refusal

_UUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
# That no order has: these would only be asked for by mistake, and Postgres takes no NUL.
_CONTROL = r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]"
MOST_PARAMETERS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a call. `parse` gives its value, or raises ValueError."""

    name: str
    says: str
    rule: str
    """What it must be; the message of who breaks it."""
    schema: Mapping[str, Any]
    parse: Callable[[str], Any]
    default: Any = None
    place: Literal["query", "path"] = "query"


def whole(name: str, low: int, high: int, default: int, says: str) -> Parameter:
    """A whole number, both ends included."""
    longest = len(str(high))

    def parse(text: str) -> int:
        if len(text) > longest or not text.isascii() or not text.isdigit():
            raise ValueError
        value = int(text)
        if not low <= value <= high:
            raise ValueError
        return value

    return Parameter(
        name=name,
        says=says,
        rule=f"must be a whole number from {low} to {high}",
        schema={"type": "integer", "minimum": low, "maximum": high, "default": default},
        parse=parse,
        default=default,
    )


def words(name: str, among: Iterable[str], says: str) -> Parameter:
    """One of some words."""
    known = [str(word) for word in among]

    def parse(text: str) -> str:
        if text not in known:
            raise ValueError
        return text

    return Parameter(
        name=name,
        says=says,
        rule=f"must be one of {', '.join(known)}",
        schema={"type": "string", "enum": known},
        parse=parse,
    )


def uuid(
    name: str, says: str, *, place: Literal["query", "path"], parse: Callable[[str], Any]
) -> Parameter:
    """A UUID with its dashes."""

    def checked(text: str) -> Any:  # noqa: ANN401 - what `parse` gives
        if not re.fullmatch(_UUID, text):
            raise ValueError
        return parse(text)

    return Parameter(
        name=name,
        says=says,
        rule="must be a UUID with its dashes",
        schema={"type": "string", "format": "uuid"},
        parse=checked,
        place=place,
    )


def line(name: str, says: str, *, place: Literal["query", "path"] = "query") -> Parameter:
    """A line of text, as long as an order's id may be."""
    longest = 500

    def parse(text: str) -> str:
        if not 1 <= len(text) <= longest or re.search(_CONTROL, text):
            raise ValueError
        return text

    return Parameter(
        name=name,
        says=says,
        rule=f"must have 1 to {longest} characters, and no control character",
        schema={"type": "string", "minLength": 1, "maxLength": longest},
        parse=parse,
        place=place,
    )


LIMIT = whole("limit", 1, 200, 50, "how many at most")
OFFSET = whole("offset", 0, 10**9, 0, "how many to pass over")
HOURS = whole("hours", 1, 840, 6, "how many hours back; the sums are kept for 35 days")
STATUS = words("status", Status, "only operations with this status")
TOKEN_ID = uuid("token_id", "only of the account with this token", place="query", parse=str.lower)
ORDER_ID = line("order_id", "only of this order; the case of its letters matters")
REASON = line("reason", "why; it is kept in the operation's history")
ID = uuid("id", "the operation's id", place="path", parse=UUID)
ORDER = line("order_id", "the order's id, percent-encoded", place="path")


def parsed(
    parameters: Sequence[Parameter], *, path: Mapping[str, str], query: str
) -> dict[str, Any]:
    """The value of each parameter. Raises `Refusal`: 422, naming all that are wrong and why."""
    given = {p.name: path[p.name] for p in parameters if p.place == "path"}
    known = {p.name: p for p in parameters}
    problems = []
    for name, text in _pairs(query):
        parameter = known.get(name)
        if parameter is None or parameter.place == "path":
            # Not passed over: a misspelt token_id would mean every account.
            problems.append(_unknown(name, [p.name for p in parameters if p.place == "query"]))
        elif name in given:
            problems.append(f"{name}: is given twice")
        else:
            given[name] = text
    values = {}
    for name, parameter in known.items():
        try:
            values[name] = parameter.parse(given[name]) if name in given else parameter.default
        except ValueError:
            problems.append(f"{name}: {parameter.rule}")
    if problems:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(dict.fromkeys(problems)))
    return values


def decoded(segment: str) -> str:
    """A part of a path. Raises `Refusal`: 422, it is not percent-encoded UTF-8."""
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError:
        raise Refusal(
            HTTPStatus.UNPROCESSABLE_ENTITY, "path: must be percent-encoded UTF-8"
        ) from None


def _pairs(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            query, keep_blank_values=True, errors="strict", max_num_fields=MOST_PARAMETERS
        )
    except ValueError:  # not UTF-8, or too many
        raise Refusal(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"query: must be percent-encoded UTF-8, of at most {MOST_PARAMETERS} parameters",
        ) from None


def _unknown(name: str, known: Sequence[str]) -> str:
    shown = name[:50].encode("ascii", "backslashreplace").decode()
    if not known:
        return f"{shown}: is unknown; this call has no parameters"
    nearest = get_close_matches(name, known, n=1, cutoff=0)[0]
    return f"{shown}: is unknown; the nearest known name is {nearest}"
