"""Report: what a comparison of both sides came to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from stocksync.model import ServiceUnavailable

MOST_LISTED = 10_000
"""Discrepancies that a report lists one by one: more than anybody reads. All are counted."""


class Act(StrEnum):
    """What a discrepancy led to."""

    REPAIRED = "repaired"
    """The order is pushed again."""
    LEFT = "left"
    """It was settled longer ago than the threshold: told, not touched."""
    GIVEN_UP = "given_up"
    """Its flag was flipped back again and again: told, not repaired before a day has passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discrepancy:
    """An order whose flag at the service is not what its rows come to."""

    token_id: str
    order_id: str
    wanted: bool
    found: bool
    settled_at: datetime | None
    """Its newest completion; None: its rows were cleaned up."""
    act: Act
    """Of a dry run: what it would have led to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a run counted, in orders."""

    checked: int = 0
    """Read, and compared with what is wanted."""
    skipped: int = 0
    """Not compared: not settled, changed meanwhile, account parked or paused, or unreadable."""
    not_reached: int = 0
    """More than a run reads, or the run ended before; of very many, those of a sample."""
    acts: Mapping[Act, int] = field(default_factory=dict)
    """Discrepancies, by what they led to."""
    discrepancies: tuple[Discrepancy, ...] = ()
    """The first MOST_LISTED of them."""

    @property
    def found(self) -> int:
        """Discrepancies."""
        return sum(self.acts.values())

    @property
    def repaired(self) -> int:
        """Of these."""
        return self.acts.get(Act.REPAIRED, 0)

    @property
    def left(self) -> int:
        """Of these."""
        return self.acts.get(Act.LEFT, 0)

    @property
    def given_up(self) -> int:
        """Of these."""
        return self.acts.get(Act.GIVEN_UP, 0)

    def as_result(self) -> dict[str, Any]:
        """The counts, as a timer keeps them."""
        return {
            "checked": self.checked,
            "found": self.found,
            "repaired": self.repaired,
            "left": self.left,
            "given_up": self.given_up,
            "skipped": self.skipped,
            "not_reached": self.not_reached,
        }


class EndedEarly(ServiceUnavailable):
    """The service could not be believed; `report` is of what was compared before that."""

    def __init__(self, reason: str, report: Report) -> None:
        many = "order was" if report.checked == 1 else "orders were"
        super().__init__(f"{reason} (after {report.checked or 'no'} {many} compared)")
        self.reason = reason
        self.report = report
