"""Watching: tells the circuits what pushes brought, and gives back what they hold up."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from stocksync.circuit import Kind, Seen
from stocksync.circuits import Circuits, Fed
from stocksync.loop import UNTIL_WOKEN
from stocksync.model import Push
from stocksync.relay.line import Line
from stocksync.relay.ramp import Ramp
from stocksync.telemetry import get_logger

log = get_logger()

# /health is asked at most so often: in an outage it may be as slow as everything else.
HEALTH_SECONDS = 1.0


class HealthSaid(Protocol):
    """What `GET /health` gave (`gateway.Health`)."""

    @property
    def is_healthy(self) -> bool | None:
        """None: it said nothing."""

    @property
    def reason(self) -> str:
        """In words."""


class Watching:
    """Between the settling and the circuits. Costs nothing while all is proven."""

    def __init__(
        self,
        *,
        circuits: Circuits,
        line: Line,
        ramp: Ramp,
        ask_health: Callable[[], Awaitable[HealthSaid]],
        release: Callable[[Sequence[Push]], Awaitable[None]],
        on_doubt: Callable[[], None],
    ) -> None:
        self._circuits = circuits
        self._line = line
        self._ramp = ramp
        self._ask_health = ask_health
        self._release = release
        self._on_doubt = on_doubt
        self._is_in_doubt = False

    async def told(self, pushes: Sequence[Seen], *, is_clean: bool) -> None:
        """These were settled; `is_clean`: no circuit has anything against what was proven."""
        failures = sum(push.kind is not Kind.PROVEN for push in pushes)
        if is_clean and not failures:
            return
        fed = await self._circuits.feed(pushes)
        await self._give_back(fed)
        self._ramp.told(failures)
        if fed.wants_health:
            self._is_in_doubt = True
            self._on_doubt()

    async def tick(self) -> float:
        """Ask the service how it is, when a failure followed no success."""
        if not self._is_in_doubt:
            return UNTIL_WOKEN
        self._is_in_doubt = False
        health = await self._ask_health()
        is_open = await self._circuits.told(is_healthy=health.is_healthy, says=health.reason)
        if is_open:
            await self.hold()
        return HEALTH_SECONDS

    async def hold(self) -> None:
        """Nothing goes but probes: give back what waits, and come back step by step."""
        self._ramp.hold()
        await self._release_all(self._line.take_out())

    async def _give_back(self, fed: Fed) -> None:
        if fed.is_service_open:
            await self.hold()
        for account in fed.open_accounts:
            await self._release_all(self._line.take_out(account=account))

    async def _release_all(self, pushes: Sequence[Push]) -> None:
        if pushes:
            log.info("relay.gave_back", orders=len(pushes))
            await self._release(pushes)
