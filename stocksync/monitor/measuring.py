"""Measuring: all that a turn reads of the database, under the lock that makes it the only one."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from stocksync.changes import Kind
from stocksync.conditions import PAUSE, Circuit, Condition, Key, Measured, Minute, Turned
from stocksync.database import Connection, Database, Record
from stocksync.monitor.happenings import Event
from stocksync.operations import LOOK_SECONDS
from stocksync.verdict import Standing, Verdict
from stocksync.verdict.judging import SHORTEST_STANDSTILL_SECONDS

# Events other than circuits' that a turn takes at most; the next one takes the rest.
MOST_EVENTS = 50_000
# Among which examples of stale rows are looked for: enough for a message, however many there are.
MOST_STALE_ACCOUNTS = 100
SAMPLE_ROWS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a turn begins with. The events are out of the database when its transaction commits."""

    memory: tuple[Condition, ...]
    events: tuple[Event, ...]
    measured: Measured


async def take(connection: Connection, database: Database, standing: Standing) -> Taken:
    """Wait for the turn, and read; in a transaction that is READ COMMITTED."""
    await connection.execute(database.query("monitor_patience"))
    await connection.execute(database.query("monitor_lock"))
    [begun] = await connection.fetch(database.query("monitor_begin"))
    now: datetime = begun["now"]
    remembered = await connection.fetch(database.query("conditions_remembered"))
    memory = tuple(_condition(row) for row in remembered)
    events = tuple(
        _event(row) for row in await connection.fetch(database.query("events_take"), MOST_EVENTS)
    )
    # After the events: a circuit that turns between the two is seen turned now, and its event, in
    # the next turn, then says nothing new.
    held = await connection.fetch(database.query("circuits"))
    circuits = tuple(_circuit(row) for row in held)
    turned = tuple(_turned(event) for event in events if event.kind in _TURNS)
    keys = _keys(memory, circuits, turned, now)
    behind = await connection.fetch(
        database.query("monitor_behind"),
        [kind for kind, _ in keys],
        [token_id for _, token_id in keys],
        list(keys.values()),
        timeout=LOOK_SECONDS,
    )
    minutes = await connection.fetch(
        database.query("monitor_minutes"), standing.limits.failure_rate_window_minutes
    )
    numbers = standing.numbers
    stale = Counter(numbers.stale_accounts)
    examples = await connection.fetch(
        database.query("monitor_stale"),
        standing.limits.stale_hours,
        [token_id for token_id, _ in stale.most_common(MOST_STALE_ACCOUNTS)],
        SAMPLE_ROWS if stale else 0,
    )
    settled_at = numbers.last_completed_at
    return Taken(
        memory=memory,
        events=events,
        measured=Measured(
            now=now,
            circuits=circuits,
            turned=turned,
            behind={(row["kind"], row["token_id"]): row["row_count"] for row in behind},
            pending=numbers.pending,
            in_flight=numbers.processing,
            proven_seconds=begun["proven_seconds"],
            due_rows=numbers.due_rows,
            oldest_due_seconds=numbers.oldest_due_seconds,
            # None says that nothing is being sent. What is held up is told of by the circuit, or
            # known to whoever paused it.
            backlog_seconds=(
                numbers.backlog_seconds if numbers.due_rows and not numbers.has_just_begun else 0.0
            ),
            stale=stale,
            stale_examples=tuple(_example(row) for row in examples),
            minutes=tuple(Minute(**row) for row in minutes),
            error=numbers.retry_error,
            stalled=_stalled(standing),
            settled_seconds=None if settled_at is None else numbers.ago(settled_at),
        ),
    )


_TURNS = {"circuit_opened": True, "circuit_closed": False}


def _keys(
    memory: Sequence[Condition],
    circuits: Sequence[Circuit],
    turned: Sequence[Turned],
    now: datetime,
) -> dict[Key, datetime]:
    """For all that may explain: the time up to which rows that came due are its."""
    keys = {c.key: c.ended_at or now for c in memory if c.kind in _EXPLAINING}
    keys |= {(PAUSE, c.token_id): now for c in circuits if c.is_paused}
    tokens = [c.token_id for c in circuits if c.is_open] + [t.token_id for t in turned]
    return keys | {(Kind.PARKED if t else Kind.OUTAGE, t): now for t in tokens}


_EXPLAINING = (Kind.OUTAGE, Kind.PARKED, PAUSE)


def _stalled(standing: Standing) -> tuple[str, ...]:
    """Why delivery is stalled, if it is so by the fault of daemons that had the time to deliver."""
    # Rows that waited for the first daemon to be started are overdue, and it has only begun.
    longest = max(SHORTEST_STANDSTILL_SECONDS, 2 * standing.limits.lease_seconds)
    ages = [standing.numbers.ago(d.started_at) for d in standing.daemons if d.is_alive]
    is_stalled = standing.verdict is Verdict.STALLED and max(ages, default=0) > longest
    return standing.reasons[:1] if is_stalled else ()


def _condition(row: Record) -> Condition:
    # The driver gives jsonb as its text.
    return Condition(**{**row, "details": json.loads(row["details"])})


def _event(row: Record) -> Event:
    columns = {**row, "details": json.loads(row["details"])}
    del columns["id"]
    return Event(**columns)


def _circuit(row: Record) -> Circuit:
    names = ("token_id", "is_open", "reason", "opened_at", "probes", "is_paused")
    return Circuit(**{name: row[name] for name in names})


def _turned(event: Event) -> Turned:
    return Turned(
        token_id=event.token_id,
        is_open=_TURNS[event.kind],
        at=event.at,
        reason=event.details.get("reason"),
    )


def _example(row: Record) -> dict[str, object]:
    return {
        "operation_id": str(row["id"]),
        "token_id": row["token_id"],
        "order_id": row["order_id"],
        "created_at": row["created_at"].isoformat(),
        "error": row["error_message"],
    }
