"""Operations: what people ask about them, and what they do to them by hand."""

from stocksync.operations.bulk import Bulk, Failed, Share
from stocksync.operations.operations import LOOK_SECONDS, Operations
from stocksync.operations.told import (
    Attempt,
    LogEntry,
    Minute,
    Operation,
    Order,
    Page,
    Reconciled,
    Story,
    Wait,
)

__all__ = [
    "LOOK_SECONDS",
    "Attempt",
    "Bulk",
    "Failed",
    "LogEntry",
    "Minute",
    "Operation",
    "Operations",
    "Order",
    "Page",
    "Reconciled",
    "Share",
    "Story",
    "Wait",
]
