"""What an argument may be: texts become values, or a complaint that says what was wrong."""

from argparse import ArgumentTypeError
from collections.abc import Callable
from uuid import UUID


def operation_id(text: str) -> UUID:
    """An operation's id, however it is written."""
    try:
        return UUID(text)
    except ValueError:
        raise ArgumentTypeError(
            f"{text!r} is not an operation's id (a UUID); of an order: show --order"
        ) from None


def token_id(text: str) -> str:
    """An account's token, as the tables have it."""
    try:
        return str(UUID(text))
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not an account's token (a UUID)") from None


def text(text: str) -> str:
    """Any text that a database can hold."""
    return _encodable(text)


def words(text: str) -> str:
    """A text that says something: an empty one is a variable that was not set."""
    if not text.strip():
        raise ArgumentTypeError("it is empty")
    return _encodable(text)


def whole(low: int, high: int) -> Callable[[str], int]:
    """A whole number within these."""

    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")
        return int(text)

    return parse


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ArgumentTypeError(f"{text!r} is not UTF-8") from None
    return text
