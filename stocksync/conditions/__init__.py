"""Conditions: from what is remembered and what is measured now, what lasts and what is told. Pure.

An outage, a parked account and a pause explain what follows from them: while they last, and until
what was due before their end is gone, the rows that wait for them make no message of their own.
README: "What on-call is told".
"""

from stocksync.conditions.deciding import Decided, decide
from stocksync.conditions.known import (
    PAUSE,
    Circuit,
    Condition,
    Key,
    Measured,
    Minute,
    Rules,
    Turned,
)

__all__ = [
    "PAUSE",
    "Circuit",
    "Condition",
    "Decided",
    "Key",
    "Measured",
    "Minute",
    "Rules",
    "Turned",
    "decide",
]
