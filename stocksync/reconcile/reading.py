"""Reading: flags from the service, few at a time, until it cannot be believed any more."""

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from typing import Protocol

from stocksync.model import ServiceUnavailable
from stocksync.telemetry import get_logger

log = get_logger()

Key = tuple[str, str]
"""An order: its account's token, and its id."""

AT_ONCE = 3
"""The service is at its best with four calls (MICROSERVICE.md's rates): pushes want room, too."""
UNREADABLE_OF_AN_ACCOUNT = 2
"""So many, and the account is misconfigured rather than its orders odd."""


class HealthSaid(Protocol):
    """What `GET /health` gave (`gateway.Health`)."""

    @property
    def is_healthy(self) -> bool | None:
        """False: an unhealthy answer, or none; None: it says nothing."""

    @property
    def reason(self) -> str:
        """Short, fit for a person."""


class FlagReader(Protocol):
    """The service, as far as this room knows it."""

    async def read_flag(self, *, token_id: str, order_id: str) -> bool:
        """Read the flag that the service holds; ServiceUnavailable: not to be believed."""

    async def health(self) -> HealthSaid:
        """Ask it how it is; whatever it does or does not, there is an answer."""


class Reading:
    """The reads of one run.

    The first failure ends it, unless another order, asked at once, is answered: then the failure is
    the order's own (an account that the service does not know any more, an id that it chokes on),
    and one of these must not keep all others from being compared for as long as it lasts.
    """

    def __init__(self, *, service: FlagReader, slots: asyncio.Semaphore) -> None:
        self._service = service
        self._slots = slots
        self._unreadable: Counter[str] = Counter()
        self._answered: Key | None = None

    def is_passed_over(self, token_id: str) -> bool:
        """Say whether nothing of this account is read any more."""
        return self._unreadable[token_id] >= UNREADABLE_OF_AN_ACCOUNT

    async def read(self, orders: Sequence[Key]) -> dict[Key, bool]:
        """Read the flags of these orders; those that are unreadable by themselves are missing.

        Raises ServiceUnavailable.
        """
        flags: dict[Key, bool] = {}
        waiting = deque(orders)
        while waiting:
            for order, error in await self._until_failure(waiting, flags):
                if not self.is_passed_over(order[0]):
                    await self._blame(order, error, flags, orders)
            waiting = deque(order for order in waiting if not self.is_passed_over(order[0]))
        return flags

    async def health(self) -> HealthSaid:
        """How the service says that it is."""
        async with self._slots:
            return await self._service.health()

    async def _until_failure(
        self, waiting: deque[Key], flags: dict[Key, bool]
    ) -> list[tuple[Key, ServiceUnavailable]]:
        failed: list[tuple[Key, ServiceUnavailable]] = []

        async def take() -> None:
            while waiting and not failed:
                order = waiting.popleft()
                try:
                    flags[order] = await self._read(order)
                    self._answered = order
                except ServiceUnavailable as error:
                    failed.append((order, error))

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(take())
        return failed

    async def _blame(
        self,
        order: Key,
        error: ServiceUnavailable,
        flags: dict[Key, bool],
        orders: Sequence[Key],
    ) -> None:
        """Ask for another order, best one of another account that was answered before."""
        token_id, order_id = order
        others = [other for other in (*orders, self._answered) if other and other != order]
        if not others:
            raise error
        known = {*flags, self._answered}
        witness = min(others, key=lambda other: (other[0] == token_id, other not in known))
        try:
            await self._read(witness)
        except ServiceUnavailable:
            raise error from None
        self._unreadable[token_id] += 1
        log.warning("reconcile.unreadable", token_id=token_id, order_id=order_id, reason=str(error))

    async def _read(self, order: Key) -> bool:
        token_id, order_id = order
        async with self._slots:
            return await self._service.read_flag(token_id=token_id, order_id=order_id)
