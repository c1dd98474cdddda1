"""The report: what was measured, on what, as a table, as JSON and as a picture."""

import json
import os
import platform
import sys
import time
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from tests.bench.figures import Result, shown
from tests.bench.postgres import SETTINGS
from tests.bench.world import World

# Of one core, by whatever else runs here.
QUIET_LOAD = 0.7
MOST_SHOWN = 9


@dataclass(slots=True, kw_only=True)
class Report:
    """A run of the benchmarks."""

    about: dict[str, Any]
    results: list[Result] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    @classmethod
    def begun(cls, world: World) -> "Report":
        """Note the circumstances."""
        ours = {each.metadata["Name"]: each.version for each in distributions()}
        return cls(
            about={
                "command": " ".join(["python", "-m", "tests.bench", *sys.argv[1:]]),
                "began": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
                "machine": _machine(),
                "load before": os.getloadavg(),
                "rounds": world.rounds,
                "python": platform.python_version(),
                "postgres": world.postgres.version,
                "postgres settings": SETTINGS,
                "packages": ours,
                "packages of the peers": world.peers.versions() if world.peers else {},
            }
        )

    def add(self, result: Result) -> None:
        """Take in what a measure brought."""
        self.results.append(result)

    def fail(self, name: str, error: BaseException) -> None:
        """A measure whose run did not do its work."""
        self.failures[name] = f"{type(error).__name__}: {error}"
        sys.stderr.write(f"{name} FAILED: {self.failures[name]}\n")

    def finish(self) -> None:
        """All is measured."""
        self.about["load after"] = os.getloadavg()
        self.about["ended"] = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())

    def text(self) -> str:
        """For the eyes."""
        about = self.about
        head = (
            f"{about['began']}, {about['machine']}, Python {about['python']},"
            f" PostgreSQL {about['postgres']}, load {about['load before'][0]:.1f} before,"
            f" {about['load after'][0]:.1f} after; medians of {about['rounds']} rounds"
        )
        lines = [head, ""]
        if about["load before"][0] > QUIET_LOAD:
            lines.insert(1, "The machine was not ours alone: only the ratios say something.")
        for result in self.results:
            lines += [*_table(result), ""]
        lines += [f"{name}: FAILED, {why}" for name, why in self.failures.items()]
        return "\n".join(lines) + "\n"

    def write(self, folder: Path) -> None:
        """Write bench.json and, where matplotlib is installed, bench.png."""
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "about": self.about,
            "results": [result.as_json() for result in self.results],
            "failures": self.failures,
        }
        (folder / "bench.json").write_text(json.dumps(content, indent=1, ensure_ascii=False))
        try:
            from tests.bench.picture import draw  # noqa: PLC0415 - matplotlib may be missing
        except ImportError:
            sys.stderr.write("no picture: matplotlib is not installed\n")
            return
        draw(self.results, title=self.text().partition("\n")[0], file=folder / "bench.png")


def _table(result: Result) -> list[str]:
    beside = list(result.beside)
    head = [f"{result.name} {result.title}", result.unit, "rounds", *beside]
    rows = [
        [
            who,
            shown(result.median(who)),
            _each(figures),
            *(
                shown(result.median_beside(what, who)) if who in result.beside[what] else ""
                for what in beside
            ),
        ]
        for who, figures in result.figures.items()
    ]
    widths = [max(len(row[n]) for row in [head, *rows]) for n in range(len(head))]
    lines = [
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in [head, *rows]
    ]
    lines += [f"  {goal}" for goal in result.goals]
    lines += [f"  {note}" for note in result.notes]
    return lines


def _each(figures: list[float]) -> str:
    if len(figures) <= MOST_SHOWN:
        return " ".join(shown(figure) for figure in figures)
    return f"{shown(min(figures))} to {shown(max(figures))} in {len(figures)}"


def _machine() -> str:
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {memory_gb:.0f} GB, {platform.system()} {platform.release()}"
