"""The picture: each goal as a bar, how far the measured value is beyond it or short of it."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from tests.bench.figures import Goal, Result, shown

MET, MISSED = "#2c7fb8", "#d95f0e"
INCHES_A_BAR = 0.28
# What is far beyond its goal does not press the others to the edge.
LONGEST = 3.0


def draw(results: Sequence[Result], *, title: str, file: Path) -> None:
    """Write a PNG."""
    goals = [(result, goal) for result in results for goal in result.goals]
    if not goals:
        return
    figure = Figure(figsize=(11, 1.2 + INCHES_A_BAR * len(goals)), layout="constrained")
    axes = figure.add_subplot()
    places = range(len(goals))
    axes.barh(
        places,
        [min(_reach(goal), LONGEST) for _, goal in goals],
        color=[MET if goal.is_met else MISSED for _, goal in goals],
    )
    axes.set_yticks(places, [f"{result.name} {goal.what}" for result, goal in goals], fontsize=8)
    axes.invert_yaxis()
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_xlim(0, LONGEST)
    axes.set_xlabel("measured by goal (for an upper bound: goal by measured); 1 is the goal")
    for place, (_, goal) in zip(places, goals, strict=True):
        axes.text(0.02, place, shown(goal.value), va="center", fontsize=7, color="white")
    axes.set_title(title, fontsize=8)
    figure.savefig(file, dpi=120)


def _reach(goal: Goal) -> float:
    if goal.at_least is not None:
        return goal.value / goal.at_least
    return (goal.at_most or 0) / goal.value if goal.value else LONGEST
