"""Rules: what words and numbers must be; who breaks one is told the whole rule."""

import re
from collections.abc import Callable
from typing import Annotated, Any, get_args

from pydantic import BeforeValidator, SecretStr, ValidatorFunctionWrapHandler, WrapValidator


def rule(text: str, holds: Callable[[Any], bool] = lambda _: True) -> WrapValidator:
    """Refuse with `text` what is not of the type, or does not hold."""

    def check(value: object, parse: ValidatorFunctionWrapHandler) -> object:
        try:
            parsed = parse(value)
        except ValueError:
            parsed = None
        if parsed is None or not holds(parsed):
            raise ValueError(text)
        return parsed

    return WrapValidator(check)


def whole(low: int, high: int, note: str = "") -> WrapValidator:
    """Take a whole number, both ends included."""
    text = f"must be a whole number from {low} to {high}{note}"
    return rule(text, lambda number: low <= number <= high)


def one_of(words: object) -> WrapValidator:
    """Take one of a Literal's words."""
    return rule(f"must be one of {', '.join(get_args(words))}")


def bare_jwt(secret: SecretStr) -> SecretStr:
    """Return the JWT without the `Bearer` that it may have been pasted with."""
    jwt = re.sub(r"^bearer\s+", "", secret.get_secret_value().strip(), flags=re.IGNORECASE)
    if not re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", jwt, re.ASCII):
        raise ValueError("must be a JWT: three parts of letters, digits, - and _, joined by dots")
    return SecretStr(jwt)


LowerCase = BeforeValidator(lambda text: text.strip().lower())
TimeOfDay = Annotated[
    str,
    rule("must be HH:MM, UTC", re.compile(r"([01]\d|2[0-3]):[0-5]\d", re.ASCII).fullmatch),
    BeforeValidator(str.strip),
]
Flag = Annotated[bool, rule("must be true or false")]
# Thirty years stand for "any": more would only overflow somewhere later.
Seconds = Annotated[int, whole(1, 10**9)]
# A lifetime stands for "any" here, too: so long ago still is a timestamp of Postgres.
Minutes = Annotated[int, whole(1, 10**8)]
Hours = Annotated[int, whole(1, 10**6)]
Days = Annotated[int, whole(1, 10**5)]


def bot_token(secret: SecretStr) -> SecretStr:
    """Return the token as @BotFather gave it; ValueError: the rule, never a part of the token."""
    token = secret.get_secret_value().strip()
    if not re.fullmatch(r"[0-9]{1,20}:[\w-]{1,200}", token, re.ASCII):
        raise ValueError("must be a bot token as @BotFather gives it: digits, a colon, and more")
    return SecretStr(token)


def bearer_token(secret: SecretStr) -> SecretStr:
    """Return the token without space around it; ValueError: the rule, never a part of it."""
    token = secret.get_secret_value().strip()
    if not re.fullmatch(r"[!-~]{1,500}", token):
        raise ValueError("must be 1 to 500 ASCII characters without spaces")
    return SecretStr(token)


def _listed(text: object) -> object:
    """Split `a, b`; defaults are lists already."""
    if not isinstance(text, str):
        return text
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _list_of(pattern: str, text: str) -> WrapValidator:
    """Take a comma-separated list of what fits the pattern."""
    fits = re.compile(pattern, re.ASCII).fullmatch

    def check(value: object, parse: ValidatorFunctionWrapHandler) -> object:
        parts = _listed(value)
        if not isinstance(parts, tuple) or not all(fits(str(part)) for part in parts):
            raise ValueError(text)
        return parse(parts)

    return WrapValidator(check)


chats = _list_of(
    r"-?[0-9]{1,20}|@[A-Za-z]\w{3,31}", "must be ids of chats, or @names of channels, with commas"
)
user_ids = _list_of(r"[0-9]{1,18}", "must be Telegram's numbers of users, with commas")
