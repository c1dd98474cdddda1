"""What came of the demo: counted in the outbox, held against what the service saw and holds."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from stocksync.database import Database
from stocksync.demo.service import Held

# The outage ($1 to $2) is caught up with when all that arrived before its end is completed. A row
# met it when its time from insert to completed touches that. What one push made of its order's rows
# was settled, and logged, at one and the same time.
_COUNT = """
WITH caught_up AS (
    SELECT greatest(max(coalesce(o.completed_at, 'infinity')), $2::timestamptz) AS at
    FROM pending_stock_operations o
    WHERE o.created_at <= coalesce($2::timestamptz, 'infinity')),
row AS (
    SELECT o.*, coalesce(o.created_at <= c.at
                         AND coalesce(o.completed_at, 'infinity') >= $1::timestamptz, false)
                AS has_met_outage,
           o.status = 'completed' AND o.attempts = 1 AS is_first_try,
           1000 * extract(epoch FROM o.completed_at - o.created_at)::float8 AS latency_ms
    FROM pending_stock_operations o CROSS JOIN caught_up c)
SELECT count(*) AS rows,
       count(*) FILTER (WHERE status = 'completed') AS rows_completed,
       coalesce(sum(retry_count), 0) AS retries,
       count(*) FILTER (WHERE retry_count > 0) AS rows_retried,
       count(*) FILTER (WHERE NOT has_met_outage) AS rows_outside,
       count(*) FILTER (WHERE NOT has_met_outage AND is_first_try) AS first_try_outside,
       count(*) FILTER (WHERE has_met_outage) AS rows_inside,
       count(*) FILTER (WHERE has_met_outage AND is_first_try) AS first_try_inside,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY latency_ms)
           FILTER (WHERE NOT has_met_outage) AS p50_ms,
       percentile_cont(0.99) WITHIN GROUP (ORDER BY latency_ms)
           FILTER (WHERE NOT has_met_outage) AS p99_ms,
       max(latency_ms) / 1000 AS longest_wait_seconds,
       extract(epoch FROM $2 - $1)::float8 AS outage_seconds,
       (SELECT extract(epoch FROM nullif(c.at, 'infinity') - $2)::float8 FROM caught_up c)
           AS recovery_seconds,
       (SELECT count(DISTINCT (o.token_id, o.order_id, l."timestamp"))
        FROM stock_synchronization_logs l JOIN pending_stock_operations o ON o.id = l.operation_id
        WHERE l.action = 'retry') AS pushes_not_proven
FROM row"""

_FLAGS = """
SELECT k.token_id, k.order_id, b.balance > 0 AS flag
FROM (SELECT DISTINCT token_id, order_id FROM pending_stock_operations) k
CROSS JOIN LATERAL stock_sync_order(k.token_id, k.order_id) b"""

_PROGRESS = """
SELECT count(*) FILTER (WHERE status = 'pending') AS pending,
       count(*) FILTER (WHERE status = 'processing') AS in_flight,
       count(*) FILTER (WHERE status = 'completed') AS completed,
       count(*) FILTER (WHERE status IN ('failed', 'cancelled')) AS given_up
FROM pending_stock_operations"""


_CIRCUIT = "SELECT is_open, probes FROM stock_sync_circuits WHERE token_id = ''"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The outbox's rows by where they stand."""

    pending: int
    in_flight: int
    completed: int
    given_up: int
    """Failed or cancelled: nothing of the demo asks for that."""

    @property
    def unfinished(self) -> int:
        """Rows that are still to be completed."""
        return self.pending + self.in_flight


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """The service's circuit."""

    is_open: bool
    probes: int
    """Since it opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Figures of a demo. `--json` gives every field by its name, `is_ok`, and `problems`."""

    orders_planned: int
    orders: int
    """Orders that are in the outbox."""
    rows: int
    rows_completed: int
    patches: int
    """PATCHes that reached the service."""
    pushes_not_proven: int
    """Pushes without proof: the service was away. Probes are among them."""
    retries: int
    """Used up by all rows together; a failed probe uses up none."""
    rows_retried: int
    """Rows that used up one or more."""
    rows_outside: int
    """Rows whose time from insert to completed touched neither the outage nor its catching-up,
    which lasts until all that arrived before its end is completed."""
    first_try_outside: int
    """Of these, completed by their first attempt."""
    rows_inside: int
    """Rows that met the outage."""
    first_try_inside: int
    p50_ms: float | None
    """From insert to completed, of the rows outside."""
    p99_ms: float | None
    longest_wait_seconds: float | None
    """From insert to completed, of all rows."""
    outage_seconds: float | None
    """None: it did not end before the limit."""
    recovery_seconds: float | None
    """The catching-up: from the outage's end until all that had arrived before it is completed."""
    flags: int
    """Orders whose flag was compared: all that are in the outbox."""
    flags_equal: int
    """By the definition in SQL and at the service the same."""
    flags_set: int
    overlapping_pushes: int
    """PATCHes that came while another one of the same order was not finished."""
    total_seconds: float

    @property
    def problems(self) -> list[str]:
        """What is not as it must be, one line each."""
        return list(self._problems())

    def _problems(self) -> Iterator[str]:
        if self.orders < self.orders_planned:
            yield f"{self.orders_planned - self.orders} orders did not arrive in time"
        if self.rows_completed < self.rows:
            yield f"{self.rows - self.rows_completed} of {self.rows} rows are not completed"
        if self.flags_equal < self.flags:
            yield f"{self.flags - self.flags_equal} of {self.flags} flags differ"
        if self.overlapping_pushes:
            yield f"{self.overlapping_pushes} pushes overlapped another one of the same order"
        if self.outage_seconds is None:
            yield "the outage did not end in time"


async def progress(database: Database) -> Rows:
    """Where the rows stand now."""
    async with database.connection() as connection:
        row = await connection.fetchrow(_PROGRESS)
    assert row is not None  # noqa: S101 - an aggregate has a row
    return Rows(**row)


async def circuit(database: Database) -> Circuit:
    """How the service's circuit stands now."""
    async with database.connection() as connection:
        row = await connection.fetchrow(_CIRCUIT)
    assert row is not None  # noqa: S101 - a migration put it there
    return Circuit(**row)


async def now(database: Database) -> datetime:
    """The time by Postgres's clock, the only one that counts."""
    async with database.connection() as connection:
        value: datetime = await connection.fetchval("SELECT clock_timestamp()")
    return value


async def count(
    database: Database,
    *,
    held: Held,
    outage: tuple[datetime | None, datetime | None],
    orders_planned: int,
    total_seconds: float,
) -> Summary:
    """Count all that the summary says; `outage` is its begin and its end, None: not yet."""
    async with database.connection() as connection:
        counted = await connection.fetchrow(_COUNT, *outage)
        flags = await connection.fetch(_FLAGS)
    assert counted is not None  # noqa: S101 - an aggregate has a row
    wanted = {(row["token_id"], row["order_id"]): row["flag"] for row in flags}
    return Summary(
        **counted,
        orders_planned=orders_planned,
        orders=len(wanted),
        patches=held.patches,
        flags=len(wanted),
        flags_equal=sum(held.flags.get(key) is flag for key, flag in wanted.items()),
        flags_set=sum(wanted.values()),
        overlapping_pushes=held.overlaps,
        total_seconds=round(total_seconds, 1),
    )
