"""Settings: the environment becomes frozen groups, or one line for each thing wrong with it."""

from stocksync.settings.groups import (
    ALSO_KNOWN_AS,
    PREFIX,
    Database,
    Group,
    Log,
    Relay,
    Retry,
    Service,
)
from stocksync.settings.loading import Setting, describe, load

__all__ = [
    "ALSO_KNOWN_AS",
    "PREFIX",
    "Database",
    "Group",
    "Log",
    "Relay",
    "Retry",
    "Service",
    "Setting",
    "describe",
    "load",
]
