"""Verdict: whether the outbox moves, from its numbers. Pure: no I/O."""

from stocksync.verdict.judging import NAMED_ACCOUNTS, Standing, Verdict, judge
from stocksync.verdict.numbers import LEAST_ATTEMPTS, Limits, Numbers
from stocksync.verdict.seen import CircuitSeen, DaemonSeen, Snapshot, TelegramSeen, TimerSeen

__all__ = [
    "LEAST_ATTEMPTS",
    "NAMED_ACCOUNTS",
    "CircuitSeen",
    "DaemonSeen",
    "Limits",
    "Numbers",
    "Snapshot",
    "Standing",
    "TelegramSeen",
    "TimerSeen",
    "Verdict",
    "judge",
]
