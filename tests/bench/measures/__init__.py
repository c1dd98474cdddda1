"""Measures: P1 to P10 of the goals, and fairness, by name."""

from collections.abc import Callable, Coroutine
from typing import Any

from tests.bench.figures import Result
from tests.bench.measures.claim import measure as claims
from tests.bench.measures.drain import one_row, three_rows, two_daemons
from tests.bench.measures.engine import measure as engine
from tests.bench.measures.fairness import measure as fairness
from tests.bench.measures.gentle import measure as gentle
from tests.bench.measures.insert import measure as inserts
from tests.bench.measures.latency import measure as latency
from tests.bench.measures.process import beginning, memory
from tests.bench.world import World

MEASURES: dict[str, Callable[[World], Coroutine[Any, Any, Result]]] = {
    "P1": one_row,
    "P2": three_rows,
    "P3": engine,
    "P4": latency,
    "P5": claims,
    "P6": inserts,
    "P7": gentle,
    "P8": memory,
    "P9": beginning,
    "P10": two_daemons,
    "fair": fairness,
}
