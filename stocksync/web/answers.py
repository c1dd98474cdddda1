"""Answers: what a call comes to, and which status each error has."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from stocksync.model import NotPossible, StocksyncError, UnknownOperation
from stocksync.telemetry import mask

# Nothing of ours is to be kept, guessed at, framed, or read by another site's page.
SECURITY_HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Server": "stocksync",
}
JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is sent back."""

    body: bytes
    content_type: str = JSON
    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)


class Refusal(Exception):
    """A call that is not served: its status, and one line that says why."""

    def __init__(self, status: HTTPStatus, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def answer(
    document: Mapping[str, Any],
    *,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """The document as JSON; times in ISO 8601 UTC."""
    text = json.dumps(document, ensure_ascii=False, default=_plain, allow_nan=False)
    # A lone surrogate in an error's text is no reason to answer nothing.
    return Answer(body=text.encode("utf-8", "replace"), status=status, headers=headers or {})


def refused(refusal: Refusal) -> Answer:
    """What a refusal is answered with."""
    return answer({"detail": str(refusal)}, status=refusal.status, headers=refusal.headers)


def refusal_of(error: StocksyncError) -> Refusal:
    """What an error of ours means to who asked."""
    match error:
        case UnknownOperation():
            return Refusal(HTTPStatus.NOT_FOUND, mask(str(error)))
        case NotPossible():
            return Refusal(HTTPStatus.BAD_REQUEST, mask(str(error)))
        case _:
            # The environment's: the database is away, or refuses.
            return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, mask(str(error)), Retry_After="5")


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return str(value)
