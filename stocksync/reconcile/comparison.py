"""Comparison: one run's: look how orders stand, read their flags, act on what differs."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from stocksync.database import Database
from stocksync.model import ServiceUnavailable
from stocksync.reconcile.reading import Key, Reading
from stocksync.reconcile.report import MOST_LISTED, Act, Discrepancy, EndedEarly, Report
from stocksync.telemetry import get_logger

log = get_logger()

CHUNK = 60
"""Orders between two looks into the database: a fraction of a second of reading."""
FALSE_IN_A_ROW = 25
"""Flags that should be true and are false, while none at all was true. The service may have lost
them; or it makes them up, as its list of orders does without a database (MICROSERVICE.md). It is
asked once more before anything is concluded."""
READ_AGAIN = 10
"""Of these flags, then."""
MOST_DOUBTED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How an order stood before its flag was read."""

    token_id: str
    order_id: str
    wanted: bool
    settled_at: datetime | None
    is_busy: bool
    """It is not to be compared now."""
    state: str
    """The same later: nothing happened to it."""
    act: str
    """What a difference leads to."""
    is_ambiguous: bool

    @property
    def key(self) -> Key:
        """Which order it is."""
        return self.token_id, self.order_id


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    look: Look
    found: bool


class Comparison:
    """Compares orders, and counts. A dry run changes nothing and says what would have been done.

    `most_lost`: so many orders are repaired at once when the service seems to have lost all flags.
    `told` hears of the progress: orders checked, discrepancies found.
    """

    def __init__(
        self,
        *,
        database: Database,
        reading: Reading,
        threshold_hours: int,
        most_lost: int,
        by: str,
        is_dry_run: bool = False,
        told: Callable[[int, int], None] = lambda *_: None,
    ) -> None:
        self._database = database
        self._reading = reading
        self._threshold_hours = threshold_hours
        self._most_lost = most_lost
        self._by = by
        self._is_dry_run = is_dry_run
        self._told = told
        self._checked = 0
        self._skipped = 0
        self._not_reached = 0
        self._acts: Counter[Act] = Counter()
        self._listed: list[Discrepancy] = []
        self._doubted: dict[Key, _Read] = {}
        self._is_believed = False

    async def begin(self) -> None:
        """Learn the time; raises EndedEarly when nothing may be read now."""
        try:
            await self._held_accounts()
        except ServiceUnavailable as error:
            raise EndedEarly(str(error), self._report()) from error

    async def compare(self, orders: Sequence[Key]) -> None:
        """Compare these orders. Raises EndedEarly, with a report of all that was compared."""
        for first in range(0, len(orders), CHUNK):
            try:
                await self._compare(orders[first : first + CHUNK])
            except ServiceUnavailable as error:
                self._not_reached += len(orders) - first
                raise EndedEarly(str(error), self._report()) from error
            if len(self._doubted) >= MOST_DOUBTED:
                await self._weigh_doubts(unread=len(orders[first + CHUNK :]))

    def leave_out(self, orders: int) -> None:
        """Count orders that are not read."""
        self._not_reached += orders

    async def end(self) -> Report:
        """Act on what was held back, and give the report. Raises EndedEarly."""
        await self._weigh_doubts()
        return self._report()

    async def _weigh_doubts(self, *, unread: int | None = None) -> None:
        """Act on what was held back; when all flags seem to be lost, on a part of it.

        `unread`: so many orders at least are still to be read; None: all were.
        """
        missing = [key for key, read in self._doubted.items() if read.look.wanted]
        if len(missing) < FALSE_IN_A_ROW:
            await self._act()
            return
        self._not_reached += unread or 0
        await self._make_sure(missing)
        rest = missing[self._most_lost :]
        for key in rest:
            del self._doubted[key]
        self._not_reached += len(rest)
        await self._act()
        if rest or unread is not None:
            raise EndedEarly(
                "the service lost its flags: some are pushed again, the others when these are true",
                self._report(),
            )

    async def _make_sure(self, missing: Sequence[Key]) -> None:
        """Ask once more whether the service lost the flags of these; raises EndedEarly if not."""
        of = f"the service says false of all {len(missing)} orders that should be true"
        health = await self._reading.health()
        if health.is_healthy is False:
            raise EndedEarly(f"not believed: {of}; /health: {health.reason}", self._report())
        try:
            again = await self._reading.read(missing[:READ_AGAIN])
        except ServiceUnavailable as error:
            raise EndedEarly(f"not believed: {of}; then: {error}", self._report()) from error
        if not again or any(again.values()):
            raise EndedEarly(f"not believed: {of}, but not when asked again", self._report())
        log.warning("reconcile.flags_lost", orders=len(missing), health=health.reason)

    async def _compare(self, orders: Sequence[Key]) -> None:
        held = await self._held_accounts()
        free = [o for o in orders if o[0] not in held and not self._reading.is_passed_over(o[0])]
        quiet = [look for look in await self._look(free) if not look.is_busy]
        flags = await self._reading.read([look.key for look in quiet])
        self._skipped += len(orders) - len(flags)
        await self._weigh(
            [_Read(look=look, found=flags[look.key]) for look in quiet if look.key in flags]
        )
        self._told(self._checked, self._acts.total())

    async def _held_accounts(self) -> frozenset[str]:
        row = await self._database.fetchrow("reconcile_begin")
        assert row is not None  # noqa: S101 - a SELECT without FROM always has one
        # For a JWT that is minted: this may be all that this process asks the database.
        self._database.clock.set(row["now"].timestamp())
        if row["held_because"] is not None:
            raise ServiceUnavailable(row["held_because"])
        return frozenset(row["held_tokens"])

    async def _look(self, orders: Sequence[Key]) -> list[Look]:
        rows = await self._database.fetch(
            "reconcile_look",
            [token_id for token_id, _ in orders],
            [order_id for _, order_id in orders],
            self._threshold_hours,
        )
        return [Look(**row) for row in rows]

    async def _weigh(self, reads: Sequence[_Read]) -> None:
        self._is_believed = self._is_believed or any(read.found for read in reads)
        differing = [r for r in reads if r.found is not r.look.wanted or r.look.is_ambiguous]
        self._checked += len(reads) - len(differing)
        # By order: asked for, a run may come to one twice.
        self._doubted |= {read.look.key: read for read in differing}
        if self._is_believed:
            await self._act()

    async def _act(self) -> None:
        doubted, self._doubted = list(self._doubted.values()), {}
        for first in range(0, len(doubted), CHUNK):
            reads = doubted[first : first + CHUNK]
            await (self._tell(reads) if self._is_dry_run else self._decide(reads))

    async def _decide(self, reads: Sequence[_Read]) -> None:
        """Repair what may be; what is ambiguous and was read is so no more."""
        rows = await self._database.fetch(
            "reconcile_decide",
            [read.look.token_id for read in reads],
            [read.look.order_id for read in reads],
            [read.look.state for read in reads],
            [read.found for read in reads],
            self._threshold_hours,
            self._by,
        )
        for row in rows:
            self._count(**row)

    async def _tell(self, reads: Sequence[_Read]) -> None:
        """Look once more, and change nothing."""
        again = await self._look([read.look.key for read in reads])
        for read, look in zip(reads, again, strict=True):
            is_same = look.state == read.look.state and not look.is_busy
            act = "right" if read.found is look.wanted else look.act
            self._count(
                token_id=look.token_id,
                order_id=look.order_id,
                wanted=look.wanted,
                found=read.found,
                settled_at=look.settled_at,
                act=act if is_same else "changed",
            )

    def _count(
        self,
        *,
        token_id: str,
        order_id: str,
        wanted: bool,
        found: bool,
        settled_at: datetime | None,
        act: str,
    ) -> None:
        if act == "changed":
            self._skipped += 1
            return
        self._checked += 1
        if act == "right":
            return
        self._acts[Act(act)] += 1
        if len(self._listed) < MOST_LISTED:
            self._listed.append(
                Discrepancy(
                    token_id=token_id,
                    order_id=order_id,
                    wanted=wanted,
                    found=found,
                    settled_at=settled_at,
                    act=Act(act),
                )
            )

    def _report(self) -> Report:
        return Report(
            checked=self._checked,
            skipped=self._skipped,
            not_reached=self._not_reached,
            acts=dict(self._acts),
            discrepancies=tuple(self._listed),
        )
