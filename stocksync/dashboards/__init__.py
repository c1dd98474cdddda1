"""Dashboards: a Grafana dashboard and Prometheus' alert rules over the daemon's metrics."""

from enum import StrEnum
from pathlib import Path


class Board(StrEnum):
    """What there is, by its file."""

    GRAFANA = "grafana.json"
    ALERTS = "prometheus.yaml"


def dashboard(which: Board) -> str:
    """Its text, to be imported as it is."""
    return Path(__file__).with_name(which.value).read_text("utf-8")
