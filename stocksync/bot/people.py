"""People: who may use buttons and commands, and how they are called in a history."""

from collections.abc import Collection

from stocksync.alerts import line_of
from stocksync.telegram import Pressed, Said
from stocksync.telemetry import get_logger

log = get_logger()

LONGEST_NAME = 40
# Strangers whose knocking was logged; whoever comes after them is logged each time.
MOST_STRANGERS = 1000


class People:
    """Allowed are `user_ids`, and those only in `chats` (ids, or `@names` of channels)."""

    def __init__(self, *, chats: Collection[str], user_ids: Collection[int]) -> None:
        self._chats = frozenset(chats)
        self._user_ids = frozenset(user_ids)
        self._strangers: set[tuple[int | None, str]] = set()

    def may(self, update: Said | Pressed) -> bool:
        """Whether this is for us; others are logged once, if they wanted something of us."""
        is_here = not self._chats.isdisjoint({update.chat, update.chat_name})
        if is_here and update.user_id in self._user_ids:
            return True
        stranger = (update.user_id, update.chat)
        if _wants_something(update) and stranger not in self._strangers:
            log.warning("bot.ignored", user_id=update.user_id, chat=update.chat)
            if len(self._strangers) < MOST_STRANGERS:
                self._strangers.add(stranger)
        return False


def name_of(update: Said | Pressed) -> str:
    """For people."""
    return line_of(update.user_name, LONGEST_NAME) or str(update.user_id)


def hand_of(update: Said | Pressed) -> str:
    """For an operation's history: names change, the number does not."""
    return f"telegram:{update.user_id} {name_of(update)}"


def _wants_something(update: Said | Pressed) -> bool:
    return isinstance(update, Pressed) or update.text.startswith("/")
