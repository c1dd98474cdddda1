"""Figures: what a measure brought, a figure a round, and how it stands to its goals."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A value to reach, or not to exceed."""

    what: str
    value: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def is_met(self) -> bool:
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )

    @property
    def verdict(self) -> str:
        """Met, or by how much not."""
        if self.is_met:
            return "met"
        bound = self.at_least if self.at_least is not None else self.at_most
        return f"missed by {abs(self.value / bound - 1):.0%}" if bound else "missed"

    def __str__(self) -> str:
        sign, bound = ("≥", self.at_least) if self.at_least is not None else ("≤", self.at_most)
        return f"{self.what}: {shown(self.value)} ({sign} {shown(bound or 0)}) {self.verdict}"


@dataclass(slots=True, kw_only=True)
class Result:
    """One measure: by contestant or case, the figures of all rounds."""

    name: str
    title: str
    unit: str
    figures: dict[str, list[float]] = field(default_factory=dict)
    beside: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """What else was seen of them, by what it is: CPU, memory."""
    goals: list[Goal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, who: str, figure: float, **beside: float) -> None:
        """Note a round's figures."""
        self.figures.setdefault(who, []).append(figure)
        for what, value in beside.items():
            self.beside.setdefault(what, {}).setdefault(who, []).append(value)

    def median(self, who: str) -> float:
        return median(self.figures[who])

    def median_beside(self, what: str, who: str) -> float:
        return median(self.beside[what][who])

    def ratio(self, who: str, to: str) -> float:
        """The median of one by the median of another."""
        return self.median(who) / self.median(to)

    def has(self, *names: str) -> bool:
        """Whether all of these took part."""
        return all(name in self.figures for name in names)

    def as_json(self) -> Mapping[str, Any]:
        medians = {who: median(figures) for who, figures in self.figures.items()}
        goals = [{**asdict(goal), "verdict": goal.verdict} for goal in self.goals]
        return {**asdict(self), "medians": medians, "goals": goals}


def shown(value: float) -> str:
    """A figure as one reads it: three places that count."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
