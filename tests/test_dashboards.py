"""Dashboards: what they name exists, Grafana and Prometheus can read them, people are told more."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from stocksync.cli import main
from stocksync.dashboards import Board, dashboard
from stocksync.metrics import Metrics
from tests.asking import metrics
from tests.test_metrics import STANDING, samples

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
GRAFANA: dict[str, Any] = json.loads(dashboard(Board.GRAFANA))
[GROUP] = yaml.safe_load(dashboard(Board.ALERTS))["groups"]
RULES: list[dict[str, Any]] = GROUP["rules"]
EXPRESSIONS = [target["expr"] for panel in GRAFANA["panels"] for target in panel["targets"]] + [
    rule["expr"] for rule in RULES
]
SELECTOR = re.compile(r"\b((?:stocksync|process)_[a-z_]+)(?:\{([^}]*)\})?")


def exposed() -> dict[str, float]:
    """Everything that is ever shown."""
    everything: Metrics = metrics()
    return samples(everything.exposition(STANDING).decode())


SAMPLES = exposed()


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_and_label_that_is_named_exists(expression: str) -> None:
    selectors = SELECTOR.findall(expression)
    assert selectors
    for name, labels in selectors:
        of_name = [sample for sample in SAMPLES if re.match(rf"{name}(\{{|$)", sample)]
        assert of_name, name
        for label, operator, value in re.findall(r'(\w+)(=~?)"([^"]*)"', labels):
            # Prometheus' own, of where it was scraped.
            if label == "job":
                continue
            pattern = value if operator == "=~" else re.escape(value)
            assert [s for s in of_name if re.search(rf'\b{label}="({pattern})"', s)], expression


def test_every_metric_is_on_the_dashboard_or_in_an_alert() -> None:
    named = {name for each in EXPRESSIONS for name, _ in SELECTOR.findall(each)}
    families = {re.sub(r"(_bucket|_sum|_count)?(\{.*)?$", "", sample) for sample in SAMPLES}
    unnamed = {
        family
        for family in families
        if family.startswith("stocksync_") and not any(n.startswith(family) for n in named)
    }
    assert unnamed == {
        # Said by others as well.
        "stocksync_due_orders",
        "stocksync_last_completed_timestamp_seconds",
        "stocksync_retry_mean_seconds",
        "stocksync_telegram_muted",
    }


def test_grafana_can_place_every_panel() -> None:
    panels = GRAFANA["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
        assert panel["datasource"]["uid"] == "${datasource}"


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(names) == len(set(names))
    for rule in RULES:
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert re.fullmatch(r"[1-9]\d*[mh]", rule["for"])
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}
        assert rule["annotations"]["runbook"] == "README.md#alerts"


def test_the_readme_says_of_each_alert_what_to_do_first() -> None:
    section = README.partition("### Alerts\n")[2].partition("\n#")[0]
    rows = re.findall(r"^\| `(Stocksync\w+)` \| (\w+) \| (.+) \| (.+) \|$", section, re.MULTILINE)
    assert [(name, severity) for name, severity, _, _ in rows] == [
        (rule["alert"], rule["labels"]["severity"]) for rule in RULES
    ]


def test_the_readme_names_every_metric() -> None:
    section = README.partition("## Metrics\n")[2].partition("\n## ")[0]
    named = {
        name
        for cell in re.findall(r"^\| (`stocksync_.*?) \|", section, re.MULTILINE)
        for name in re.findall(r"`(\w+)", cell)
    }
    families = {
        re.sub(r"(_bucket|_sum|_count)?(\{.*)?$", "", sample)
        for sample in SAMPLES
        if sample.startswith("stocksync_")
    }
    assert named == families


@pytest.mark.parametrize(
    ("argv", "which"),
    [([], Board.GRAFANA), (["--grafana"], Board.GRAFANA), (["--alerts"], Board.ALERTS)],
)
def test_the_command_prints_them_and_needs_no_settings(
    argv: list[str], which: Board, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dashboards", *argv]) == 0
    assert capsys.readouterr().out == dashboard(which)
