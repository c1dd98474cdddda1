"""What Telegram may answer instead of doing it, by what there is to do about it."""

from stocksync.model import StocksyncError


class TelegramError(StocksyncError):
    """Telegram did not do what it was asked; the text is one line without secrets.

    TelegramError
    ├── Flooded              too much at once: not before the pause that it asks for
    ├── TelegramRefused      the token or the chat is wrong, or the bot may not: a person must act
    │   └── GroupMoved       the chat has another id now
    ├── Unsendable           this message will never pass: do not send the same again
    └── TelegramUnavailable  no answer, or none that can be believed: worth another try
    """


class Flooded(TelegramError):
    """429: nothing before `retry_after_seconds` are over."""

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__(f"Telegram asks for a pause of {retry_after_seconds:g} s")
        self.retry_after_seconds = retry_after_seconds


class TelegramRefused(TelegramError):
    """401, 403, 404 and those 400s that are about the chat: the configuration is wrong."""


class GroupMoved(TelegramRefused):
    """The group was made a supergroup, which has the id `to`."""

    def __init__(self, to: str) -> None:
        super().__init__(f"the group is a supergroup now, and its id is {to}")
        self.to = to


class Unsendable(TelegramError):
    """400 or 413 for this message: its text, entities, buttons or picture."""


class TelegramUnavailable(TelegramError):
    """The network, a 5xx, a proxy's page. A message may have been sent all the same."""
