"""Bot: what people press and write in on-call's chats is done, and answered in words."""

from stocksync.bot.bot import Bot

__all__ = ["Bot"]
