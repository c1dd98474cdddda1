"""Telegram as a room of ours: send and edit messages, hear what people press and say.

Importing it costs nothing: the first `Telegram` that is made imports aiogram (2.6 s, 130 MB).
"""

from stocksync.telegram.client import Telegram
from stocksync.telegram.errors import (
    Flooded,
    TelegramError,
    TelegramRefused,
    TelegramUnavailable,
    Unsendable,
)
from stocksync.telegram.text import LONGEST_TEXT, cut
from stocksync.telegram.updates import Other, Pressed, Said, Update

__all__ = [
    "LONGEST_TEXT",
    "Flooded",
    "Other",
    "Pressed",
    "Said",
    "Telegram",
    "TelegramError",
    "TelegramRefused",
    "TelegramUnavailable",
    "Unsendable",
    "Update",
    "cut",
]
