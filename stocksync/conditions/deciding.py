"""Deciding: what lasted before, and this moment, make what lasts now and what is told of it."""

from collections.abc import Iterable
from dataclasses import dataclass

from stocksync.changes import Change, Kind
from stocksync.conditions.explaining import Explained, held, paused
from stocksync.conditions.following import follow, readings
from stocksync.conditions.known import PAUSE, SERVICE, Condition, Key, Measured, Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What to remember from now on, and what to tell."""

    conditions: tuple[Condition, ...]
    changes: tuple[Change, ...]


def decide(memory: Iterable[Condition], measured: Measured, rules: Rules) -> Decided:
    """One turn. It is the same whoever takes it: all that it knows of the past is `memory`."""
    remembered = {condition.key: condition for condition in memory}
    explaining, changes = _explaining(remembered, measured, rules)
    conditions = list(explaining)
    explained = Explained(explaining, measured)
    for kind, reading in readings(explained, measured, rules).items():
        before = remembered.get((kind, SERVICE))
        condition, change = follow(kind, before, reading, now=measured.now, rules=rules)
        conditions += [condition] if condition else []
        changes += [change] if change else []
    return Decided(conditions=tuple(conditions), changes=tuple(changes))


def _explaining(
    remembered: dict[Key, Condition], measured: Measured, rules: Rules
) -> tuple[list[Condition], list[Change]]:
    circuits = {circuit.token_id: circuit for circuit in measured.circuits}
    tokens = {token_id for _, token_id in remembered} | {t.token_id for t in measured.turned}
    conditions: list[Condition] = []
    changes: list[Change] = []
    # The service's come first.
    for token_id in sorted(tokens | set(circuits)):
        circuit = circuits.get(token_id)
        pause = paused(remembered.get((PAUSE, token_id)), token_id, circuit, measured)
        outage = next((each for each in conditions if each.kind == Kind.OUTAGE), None)
        condition, change = held(
            remembered, token_id, circuit, measured=measured, rules=rules, outage=outage
        )
        conditions += [each for each in (condition, pause) if each]
        changes += [change] if change else []
    return conditions, changes
