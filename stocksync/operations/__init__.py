"""Operations: what people ask about them, and what they do to them by hand."""

from stocksync.operations.operations import Operations
from stocksync.operations.told import Attempt, LogEntry, Operation, Order, Page, Story, Wait

__all__ = ["Attempt", "LogEntry", "Operation", "Operations", "Order", "Page", "Story", "Wait"]
