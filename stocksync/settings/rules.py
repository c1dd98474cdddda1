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
Flag = Annotated[bool, rule("must be true or false")]
# Thirty years stand for "any": more would only overflow somewhere later.
Seconds = Annotated[int, whole(1, 10**9)]
