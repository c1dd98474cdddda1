"""Reconcile: reads flags back, and has wrong ones pushed again."""

from stocksync.reconcile.reading import FlagReader
from stocksync.reconcile.reconcile import VERIFY_SECONDS, Reconcile
from stocksync.reconcile.report import Act, Discrepancy, EndedEarly, Report

__all__ = [
    "VERIFY_SECONDS",
    "Act",
    "Discrepancy",
    "EndedEarly",
    "FlagReader",
    "Reconcile",
    "Report",
]
