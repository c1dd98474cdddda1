"""Metrics: what Prometheus reads: the outbox as it stands, and what this daemon did."""

from stocksync.metrics.metrics import CONTENT_TYPE, Metrics

__all__ = ["CONTENT_TYPE", "Metrics"]
