"""Contestants: who pushes, from which table, and how to tell that all is done."""

from dataclasses import dataclass, field

CONCURRENCY = 8
TOKEN_ID = "11111111-1111-4111-8111-111111111111"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """A program and its queue. In SQL, $1 is an order's number or how many orders there are."""

    name: str
    kind: str
    """Of which database its own is a copy."""
    program: str
    """A module."""
    is_peer: bool = True
    settings: dict[str, str] = field(default_factory=dict)
    share: float = 1.0
    """Slow ones drain less, or the benchmark would take hours."""
    fill: str
    insert: str
    is_left: str
    """True while a row is unfinished."""
    done: str
    """How many rows are done, and when the last one was."""


_STOCKSYNC_SELECT = (
    "INSERT INTO pending_stock_operations (token_id, order_id, sku, quantity)"
    f" SELECT '{TOKEN_ID}', 'order-' || n, 'A-' || unit, 1"
    " FROM generate_series(1, $1::int) n, generate_series(1, {units}) unit"
)


def stocksync(*, units: int = 1, **settings: str) -> Contestant:
    """The daemon; `units` rows an order."""
    return Contestant(
        name="stocksync",
        kind="stocksync",
        program="stocksync",
        is_peer=False,
        settings=settings,
        fill=_STOCKSYNC_SELECT.format(units=units),
        insert="INSERT INTO pending_stock_operations (token_id, order_id, sku, quantity)"
        f" VALUES ('{TOKEN_ID}', 'order-' || $1::int, 'A-1', 1)",
        is_left="SELECT EXISTS (SELECT FROM pending_stock_operations WHERE status = 'pending')"
        " OR EXISTS (SELECT FROM pending_stock_operations WHERE status = 'processing')",
        done="SELECT count(*), extract(epoch FROM max(completed_at))"
        " FROM pending_stock_operations WHERE status = 'completed'",
    )


def _pgqueuer(client: str, batch: int) -> Contestant:
    row = "0, 'push', convert_to('order-' || n, 'UTF8'), 'queued'"
    log = (
        "WITH rows AS (INSERT INTO pgqueuer (priority, entrypoint, payload, status)"
        f" SELECT {row} FROM generate_series({{first}}, $1::int) n RETURNING id)"
        " INSERT INTO pgqueuer_log (job_id, status, entrypoint, priority)"
        " SELECT id, 'queued', 'push', 0 FROM rows"
    )
    return Contestant(
        name=f"pgqueuer + {client}",
        kind="pgqueuer",
        program="tests.bench.peers.pgqueuer_worker",
        settings={"BENCH_CLIENT": client, "BENCH_BATCH": str(batch)},
        # What its own enqueue() writes.
        fill=log.format(first="1"),
        insert=log.format(first="$1::int"),
        is_left="SELECT EXISTS (SELECT FROM pgqueuer)",
        done="SELECT count(*), extract(epoch FROM max(created))"
        " FROM pgqueuer_log WHERE status = 'successful'",
    )


PGQUEUER_HTTPX = _pgqueuer("httpx", 250)
PGQUEUER_AIOHTTP = _pgqueuer("aiohttp", 250)
PGQUEUER_ENGINE = _pgqueuer("none", 500)

PROCRASTINATE = Contestant(
    name="procrastinate + httpx",
    kind="procrastinate",
    program="tests.bench.peers.procrastinate_worker",
    settings={"BENCH_CLIENT": "httpx"},
    share=0.3,
    fill="SELECT procrastinate_defer_jobs_v1(array_agg(ROW('default', 'push', 0, NULL, NULL,"
    " jsonb_build_object('order_id', 'order-' || n), NULL)::procrastinate_job_to_defer_v1))"
    " FROM generate_series(1, $1::int) n",
    insert="SELECT procrastinate_defer_jobs_v1(ARRAY[ROW('default', 'push', 0, NULL, NULL,"
    " jsonb_build_object('order_id', 'order-' || $1::int), NULL)::procrastinate_job_to_defer_v1])",
    is_left="SELECT EXISTS (SELECT FROM procrastinate_jobs WHERE status <> 'succeeded')",
    done="SELECT count(*), extract(epoch FROM max(at)) FROM procrastinate_events"
    " WHERE type = 'succeeded'",
)


def _serial(name: str, client: str, share: float) -> Contestant:
    return Contestant(
        name=name,
        kind="serial",
        program="tests.bench.peers.serial_loop",
        settings={"BENCH_CLIENT": client},
        share=share,
        fill="INSERT INTO serial (order_id) SELECT 'order-' || n"
        " FROM generate_series(1, $1::int) n",
        insert="INSERT INTO serial (order_id) VALUES ('order-' || $1::int)",
        is_left="SELECT EXISTS (SELECT FROM serial WHERE status = 'pending')",
        done="SELECT count(*), extract(epoch FROM max(completed_at)) FROM serial"
        " WHERE status = 'completed'",
    )


SERIAL = _serial("serial loop", "httpx", 0.05)
SERIAL_KEPT = _serial("serial loop, client kept", "kept", 0.1)
SERIAL_TABLE = (
    "CREATE TABLE serial (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
    " order_id text NOT NULL, status text NOT NULL DEFAULT 'pending', completed_at timestamptz)"
)

PEERS = (PGQUEUER_HTTPX, PGQUEUER_AIOHTTP, PROCRASTINATE, SERIAL, SERIAL_KEPT)
