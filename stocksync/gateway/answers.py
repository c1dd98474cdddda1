"""What an answer of the microservice means, as one table."""

import json
import math
import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from stocksync.model import Cause, Done, Outcome, Refused, Retry, ServiceUnavailable

LONGEST_REASON = 300
"""Characters: a line or three on a screen, and what error_message is meant for."""
LONGEST_PAUSE_SECONDS = 86_400.0
"""A Retry-After beyond a day is a mistake; the relay has a lower limit of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: headers by lower-case name, the body as far as it was read."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """One row of the table: answers of these statuses, and what they say about a push."""

    statuses: Container[int]
    detail: str = ""
    """The answer's detail begins so."""
    cause: Cause | None
    """None: refused, it will never pass."""
    words: str
    is_ambiguous: bool = False


_MISSED = "the route was missed (wrong base URL, or an order id that cannot be sent)"

TABLE = (
    Meaning(statuses={200}, cause=Cause.OPERATION, words="not proven"),
    Meaning(statuses={401, 403}, cause=Cause.CREDENTIALS, words="credentials refused"),
    Meaning(statuses={404}, detail="Токен", cause=Cause.TOKEN, words="token not accepted"),
    Meaning(statuses={404, 405, *range(300, 400)}, cause=Cause.ENVIRONMENT, words=_MISSED),
    Meaning(statuses={422}, cause=None, words="refused"),
    Meaning(statuses={408, 429, 503}, cause=Cause.ENVIRONMENT, words="turned away"),
    # A proxy gave up waiting: the service may still be at it.
    Meaning(
        statuses={502, 504},
        cause=Cause.ENVIRONMENT,
        words="no answer behind the proxy",
        is_ambiguous=True,
    ),
    # The service's handler ended with an error: whatever it did, it will not do it later.
    Meaning(statuses={500}, cause=Cause.OPERATION, words="error in the service"),
    # The service knows no other 5xx: some proxy's (Cloudflare's 52x are timeouts).
    Meaning(
        statuses=range(501, 600),
        cause=Cause.ENVIRONMENT,
        words="error of a proxy",
        is_ambiguous=True,
    ),
    Meaning(statuses=range(1000), cause=Cause.OPERATION, words="unexpected answer"),
)
"""The first row that fits counts; a 200 is looked up when it proves nothing."""


def outcome_of(
    answer: Answer, *, order_id: str, flag: bool, secrets: Iterable[str], now: datetime
) -> Outcome:
    """Say what became of a push; `now` is for a Retry-After date where the answer has no Date."""
    content = _parsed(answer.body)
    if answer.status == HTTPStatus.OK:
        detail = _missing_proof(content, order_id=order_id, flag=flag)
        if not detail:
            return Done()
    else:
        detail = _detail(content, answer.body)
    meaning = next(
        row for row in TABLE if answer.status in row.statuses and detail.startswith(row.detail)
    )
    reason = presentable(f"{answer.status} {meaning.words}: {detail}", secrets=secrets)
    if meaning.cause is None:
        return Refused(reason=reason, http_status=answer.status)
    return Retry(
        reason=reason,
        cause=meaning.cause,
        http_status=answer.status,
        after_seconds=_retry_after_seconds(answer.headers, now=now),
        # A 200 in the service's own words ends the call, right or wrong: it cannot be applied
        # later. A 200 that is not even a JSON object is a stranger's (a proxy's page), and says
        # nothing about what the service behind it is still doing.
        is_ambiguous=meaning.is_ambiguous
        or (answer.status == HTTPStatus.OK and not isinstance(content, dict)),
    )


def flag_of(answer: Answer, *, order_id: str, secrets: Iterable[str]) -> bool:
    """Give the flag out of a technical-flags answer; ServiceUnavailable if it cannot be believed.

    A flag that is read wrong would be repaired into a wrong one: everything must be as it should.
    """
    content = _parsed(answer.body)
    match content:
        case {"order_id": echo, "technical_flags": {"is_stock_updated": bool(flag)}} if (
            answer.status == HTTPStatus.OK and echo == order_id
        ):
            return flag
    detail = "no flag of this order in it" if answer.status == HTTPStatus.OK else ""
    text = f"{answer.status} {detail or _detail(content, answer.body)}"
    raise ServiceUnavailable(presentable(text, secrets=secrets))


def accounts_of(answer: Answer, *, secrets: Iterable[str]) -> tuple[dict[str, str], int]:
    """Give one page's names by token, and how many accounts there are on all of them.

    ServiceUnavailable if it is not such a page. With its database down the service says that there
    are none.
    """
    match _parsed(answer.body):
        case {"tokens": [*tokens], "total": int(total)} if answer.status == HTTPStatus.OK:
            names = {}
            for token in tokens:
                match token:
                    case {"id": str(token_id), "account_name": str(name)} if name:
                        names[token_id] = name
            return names, total
    text = f"{answer.status} no page of accounts: {_detail(None, answer.body)}"
    raise ServiceUnavailable(presentable(text, secrets=secrets))


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What `GET {base}/health` says."""

    is_healthy: bool | None
    """False: an unhealthy answer, or none. None: it says nothing (no such route there)."""
    is_database_connected: bool | None
    """The service's own database; None: it does not say."""
    reason: str
    """Short, fit for a person, free of secrets; what was seen in any case."""


def health_of(answer: Answer, *, secrets: Iterable[str]) -> Health:
    """Read an answer of /health: always 200 when the service itself answers."""
    content = _parsed(answer.body)
    database = content.get("database") if isinstance(content, dict) else None
    if answer.status == HTTPStatus.OK and isinstance(database, str):
        is_connected = database == "connected"
        reason = presentable(f"database {database}", secrets=secrets)
        return Health(is_healthy=is_connected, is_database_connected=is_connected, reason=reason)
    return Health(
        is_healthy=False if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR else None,
        is_database_connected=None,
        reason=presentable(f"{answer.status} {_detail(content, answer.body)}", secrets=secrets),
    )


_LONGEST_GLANCE = 4096  # no need to search the kilobytes that nobody will see
_LOOKS_LIKE_JWT = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*")


def presentable(text: str, *, secrets: Iterable[str]) -> str:
    """Make one short line of foreign text: no secret, no control character, no kilobytes."""
    for secret in secrets:
        text = text.replace(secret, "***")
    text = _LOOKS_LIKE_JWT.sub("***", text[:_LONGEST_GLANCE])
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split()).rstrip(": ")
    return text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 1] + "…"


def _missing_proof(content: Any, *, order_id: str, flag: bool) -> str:  # noqa: ANN401 - any JSON
    """Name the first thing that "Done means" asks for and the body lacks; "": it is proven."""
    match content:
        case {"success": True, "order_id": echo, "is_stock_updated": bool(stored)}:
            if echo != order_id:
                return "it is about another order"
            return "" if stored is flag else "it holds the other flag"
        case {"success": success} if success is not True:
            return f"success is {json.dumps(success)}"
        case {}:
            return "a field is missing or of another type"
    return "not a JSON object"


def _parsed(body: bytes) -> Any:  # noqa: ANN401 - any JSON
    """Parse JSON; None for what is none (errors may be plain text, or a proxy's HTML)."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _detail(content: Any, body: bytes) -> str:  # noqa: ANN401 - any JSON
    """Find the words in FastAPI's two forms of an error; else the body is the words."""
    match content:
        case {"detail": str(detail)}:
            return detail
        case {"detail": [*problems]}:
            return "; ".join(_problem(problem) for problem in problems)
    return body.decode(errors="replace")


def _problem(problem: Any) -> str:  # noqa: ANN401 - any JSON
    match problem:
        case {"loc": [*place], "msg": message}:
            return f"{'.'.join(map(str, place))}: {message}"
    return str(problem)


def _retry_after_seconds(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Read Retry-After (RFC 9110 §10.2.3): seconds, or a date by the answer's own clock."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value), LONGEST_PAUSE_SECONDS)
    if (until := _date(value)) is None:
        return None
    pause_seconds = (until - (_date(headers.get("date", "")) or now)).total_seconds()
    return min(max(math.ceil(pause_seconds), 0.0), LONGEST_PAUSE_SECONDS)


def _date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
