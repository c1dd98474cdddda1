"""Settings: the environment becomes frozen groups, or one line for each thing wrong with it."""

from stocksync.settings.group import ALSO_KNOWN_AS, PREFIX, Group
from stocksync.settings.groups import (
    Cleanup,
    Database,
    Reconciliation,
    Relay,
    Retry,
    Schema,
    Service,
)
from stocksync.settings.loading import Loaded, Setting, describe, load
from stocksync.settings.telling import Http, Log, Monitoring, Telegram

__all__ = [
    "ALSO_KNOWN_AS",
    "PREFIX",
    "Cleanup",
    "Database",
    "Group",
    "Http",
    "Loaded",
    "Log",
    "Monitoring",
    "Reconciliation",
    "Relay",
    "Retry",
    "Schema",
    "Service",
    "Setting",
    "Telegram",
    "describe",
    "load",
]
