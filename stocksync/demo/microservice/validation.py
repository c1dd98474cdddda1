"""What the microservice checks before it acts, and its 422 in FastAPI's words."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from uuid import UUID

_TRUE = ("true", "1", "on", "t", "y", "yes")
_FALSE = ("false", "0", "off", "f", "n", "no")


class Unprocessable(Exception):
    """The request is malformed; `problems` is the 422's detail."""

    def __init__(self, *problems: Mapping[str, Any]) -> None:
        super().__init__(problems)
        self.problems = problems


def token_id_and_flag(parameters: Mapping[str, str], body: bytes) -> tuple[str, bool]:
    """Give the PATCH's two values; all that is wrong with them is told at once."""
    problems: list[Mapping[str, Any]] = []
    token, value = "", False
    try:
        token = token_id(parameters)
    except Unprocessable as error:
        problems += error.problems
    try:
        value = _flag(body)
    except Unprocessable as error:
        problems += error.problems
    if problems:
        raise Unprocessable(*problems)
    return token, value


def token_id(parameters: Mapping[str, str]) -> str:
    """Give `token_id`, in the form that the service stores."""
    text = _present(parameters, "token_id", place="query")
    canonical = _uuid(text)
    if canonical is None:
        message = "Input should be a valid UUID"
        raise Unprocessable(_problem("uuid_parsing", ["query", "token_id"], message, text))
    return canonical


@lru_cache(maxsize=1024)
def _uuid(text: str) -> str | None:
    try:
        return str(UUID(text))
    except ValueError:
        return None


def whole_number(
    parameters: Mapping[str, str], name: str, *, default: int, least: int, most: int | None = None
) -> int:
    """Give a number within its limits."""
    text = parameters.get(name, str(default))
    try:
        number = int(text)
    except ValueError:
        message = "Input should be a valid integer, unable to parse string as an integer"
        raise Unprocessable(_problem("int_parsing", ["query", name], message, text)) from None
    if number < least:
        message = f"Input should be greater than or equal to {least}"
        raise Unprocessable(_problem("greater_than_equal", ["query", name], message, text))
    if most is not None and number > most:
        message = f"Input should be less than or equal to {most}"
        raise Unprocessable(_problem("less_than_equal", ["query", name], message, text))
    return number


def boolean(parameters: Mapping[str, str], name: str) -> bool | None:
    """Give a filter; None when it is not asked for."""
    return _boolean(parameters[name], ["query", name]) if name in parameters else None


def _flag(body: bytes) -> bool:
    try:
        content = json.loads(body) if body else None
    except (ValueError, RecursionError) as error:
        place = ["body", getattr(error, "pos", 0)]
        raise Unprocessable(_problem("json_invalid", place, "JSON decode error", {})) from None
    if content is None:
        raise Unprocessable(_problem("missing", ["body"], "Field required", None))
    if not isinstance(content, dict):
        message = "Input should be a valid dictionary or object to extract fields from"
        raise Unprocessable(_problem("model_attributes_type", ["body"], message, content))
    value = _present(content, "is_stock_updated", place="body")
    return _boolean(value, ["body", "is_stock_updated"])


def _present(values: Mapping[str, Any], name: str, *, place: str) -> Any:  # noqa: ANN401 - any JSON
    if name not in values:
        raise Unprocessable(_problem("missing", [place, name], "Field required", None))
    return values[name]


def _boolean(value: Any, place: list[str]) -> bool:  # noqa: ANN401 - any JSON
    if isinstance(value, bool):
        return value
    text = str(value).lower()
    if isinstance(value, str | int) and text in _TRUE + _FALSE:
        return text in _TRUE
    message = "Input should be a valid boolean, unable to interpret input"
    raise Unprocessable(_problem("bool_parsing", place, message, value))


def _problem(kind: str, place: list[Any], message: str, given: Any) -> Mapping[str, Any]:  # noqa: ANN401 - any JSON
    return {"type": kind, "loc": place, "msg": message, "input": given}


def user_of_jwt(token: str, *, secret: str) -> str | None:
    """Give the user of an HS256 JWT that is signed and not over; None for any other.

    Written out, not borrowed from the gateway's library: the stand-in checks the gateway.
    """
    user_id, expires_at = _signed_claims(token, secret) or ("", 0.0)
    return user_id if expires_at > time.time() else None


@lru_cache(maxsize=64)
def _signed_claims(token: str, secret: str) -> tuple[str, float] | None:
    try:
        signed, _, signature = token.rpartition(".")
        head, claims = (json.loads(_decoded(part)) for part in signed.split("."))
        mac = hmac.digest(secret.encode(), signed.encode(), hashlib.sha256)
        is_ours = head["alg"] == "HS256" and hmac.compare_digest(mac, _decoded(signature))
        if is_ours and claims["user_id"] and isinstance(claims["user_id"], str):
            return claims["user_id"], float(claims["exp"])
    except (ValueError, LookupError, TypeError):
        pass
    return None


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
