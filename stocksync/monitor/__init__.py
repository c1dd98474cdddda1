"""Monitor: measures, notices what changed, and remembers in the database what was told of it."""

from stocksync.monitor.monitor import Monitor

__all__ = ["Monitor"]
