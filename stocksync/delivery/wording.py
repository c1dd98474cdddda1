"""Wording: a message about changes, whatever happens on the way to it."""

import asyncio
from collections.abc import Sequence

from stocksync.alerts import Catalogue
from stocksync.changes import Change
from stocksync.delivery.names import Names
from stocksync.message import Code, Message
from stocksync.telemetry import get_logger

log = get_logger()


class Wording:
    """Words changes with the catalogue, and with the names of accounts where they are known."""

    def __init__(self, *, catalogue: Catalogue, names: Names) -> None:
        self._catalogue = catalogue
        self._names = names

    async def of(self, changes: Sequence[Change], *, is_merged: bool = False) -> Message:
        """One message: of one kind and phase, or merged."""
        names = await self._names.of(changes)
        word = self._catalogue.merged if is_merged else self._catalogue.message
        try:
            # In a thread: a picture takes a second, and pushes go on meanwhile.
            return await asyncio.to_thread(word, changes, names)
        except Exception:
            # What cannot be worded must not silence the rest.
            log.exception("delivery.unworded", changes=[each.id for each in changes])
            said = ", ".join(
                f"{each.kind} {each.phase} {each.token_id}".strip() for each in changes
            )
            return Message(parts=(f"{said}\n", Code("stocksync status")))
