"""P5: what a claim of 100 orders costs, whatever lies in the table."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import asyncpg

from stocksync.database import Database
from stocksync.store import Place, Store
from tests.bench.figures import Goal, Result
from tests.bench.postgres import LONG_SECONDS, connected
from tests.bench.processes import cpu_ms
from tests.bench.world import NotVerified, World

Connection = "asyncpg.Connection[asyncpg.Record]"

ORDERS = 100
ACCOUNTS = 10
CLAIMS_A_ROUND, QUICK_CLAIMS = 15, 5
FEW, MANY, QUICK_MANY = 1000, 100_000, 5000
# Due rows in the cases where what lies beside them is what matters: more than is claimed of them.
BESIDE = 10_000
MILLION, HISTORY = 1_000_000, 5_000_000
LEASE_SECONDS = 600.0

BARE_UPDATE = (
    "UPDATE pending_stock_operations SET status = 'processing', claim_token = gen_random_uuid(),"
    " claim_no = 1, lease_until = clock_timestamp() + interval '10 minutes',"
    " updated_at = clock_timestamp() WHERE id = ANY ($1::uuid[])"
)
OLDEST = (
    "SELECT id FROM pending_stock_operations WHERE status = 'pending'"
    " ORDER BY next_retry_at, seq LIMIT $1"
)
COLUMNS = "(token_id, order_id, sku, quantity, next_retry_at)"


def account(number: str) -> str:
    """SQL for the token of an account."""
    return f"'0a1b2c3d-0000-4000-8000-' || lpad(to_hex({number}), 12, '0')"


async def insert(
    connection: "asyncpg.Connection[asyncpg.Record]",
    rows: int,
    *,
    prefix: str = "order",
    due: str = "now()",
    accounts: str = f"n % {ACCOUNTS}",
) -> None:
    """Let so many orders of one row wait."""
    await connection.execute(
        f"INSERT INTO pending_stock_operations {COLUMNS}"
        f" SELECT {account(accounts)}, '{prefix}-' || n, 'A-1', 1, {due}"
        f" FROM generate_series(1, {rows}) n"
    )


async def analyse(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Let the planner know, and nothing be left to vacuum."""
    await connection.execute("VACUUM ANALYZE pending_stock_operations")


Fill = Callable[["asyncpg.Connection[asyncpg.Record]", int], Awaitable[None]]


async def pending(connection: "asyncpg.Connection[asyncpg.Record]", rows: int) -> None:
    await insert(connection, rows)
    await analyse(connection)


async def never_analysed(connection: "asyncpg.Connection[asyncpg.Record]", rows: int) -> None:
    await analyse(connection)
    await insert(connection, rows)


async def in_the_future(connection: "asyncpg.Connection[asyncpg.Record]", rows: int) -> None:
    await insert(connection, rows, prefix="later", due="now() + interval '1 day'")
    await insert(connection, BESIDE)
    await analyse(connection)


async def parked(connection: "asyncpg.Connection[asyncpg.Record]", rows: int) -> None:
    await insert(connection, rows, prefix="parked", accounts="99")
    await insert(connection, BESIDE)
    await connection.execute(
        "INSERT INTO stock_sync_circuits (token_id, is_open, is_clean, opened_at, probe_at)"
        f" VALUES ({account('99')}, true, false, now(), now() + interval '1 hour')"
    )
    await analyse(connection)


async def finished(connection: "asyncpg.Connection[asyncpg.Record]", rows: int) -> None:
    # What is inserted is pending, says a trigger; replicas have none.
    await connection.execute("SET session_replication_role = replica")
    await connection.execute(
        "INSERT INTO pending_stock_operations"
        " (token_id, order_id, sku, quantity, status, completed_at)"
        f" SELECT {account(f'n % {ACCOUNTS}')}, 'past-' || n, 'A-1', 1, 'completed', now()"
        f" FROM generate_series(1, {rows}) n"
    )
    await connection.execute("RESET session_replication_role")
    await insert(connection, BESIDE)
    await analyse(connection)


async def behind_one(connection: "asyncpg.Connection[asyncpg.Record]", rows: int) -> None:
    hot = f"SELECT {account('1')}, 'hot', 'A-1', 1, now()"
    one = f"INSERT INTO pending_stock_operations {COLUMNS} {hot}"
    await connection.execute(one)
    [first] = await connection.fetch(OLDEST, 1)
    await connection.execute(BARE_UPDATE, [first["id"]])
    await connection.execute(f"{one} FROM generate_series(1, {rows})")
    await insert(connection, BESIDE)
    await analyse(connection)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A table to claim from, and what the claim may cost there, by that of few rows."""

    name: str
    fill: Fill
    rows: int
    at_most: float | None
    is_large: bool = False
    is_refilled: bool = False
    is_held: bool = False
    is_placed: bool = False


BASE = "1,000 pending"
CASES = (
    Case(name=BASE, fill=pending, rows=FEW, at_most=None, is_refilled=True),
    Case(name="{:,} pending", fill=pending, rows=MANY, at_most=1.5),
    Case(name="{:,} pending", fill=pending, rows=MILLION, at_most=1.5, is_large=True),
    Case(name="{:,}, statistics of none", fill=never_analysed, rows=MANY, at_most=1.5),
    Case(name="{:,} future retries", fill=in_the_future, rows=MANY, at_most=1.5),
    Case(name="{:,} due of a parked account", fill=parked, rows=MANY, at_most=1.5),
    Case(name="{:,} of history", fill=finished, rows=HISTORY, at_most=2, is_large=True),
    Case(
        name="held snapshot, half of {:,} done",
        fill=pending,
        rows=MANY,
        at_most=2,
        is_held=True,
        is_placed=True,
    ),
    Case(name="{:,} behind one order", fill=behind_one, rows=MANY // 10, at_most=2),
)
BARE = "bare UPDATE of 100 rows"
# What a busy machine does not change much.
CPU = "CPU ms of the backend"


async def measure(world: World) -> Result:
    """P5: ms a claim, at the client, commit included but not waiting for the disk."""
    result = Result(name="P5", title=f"claim of {ORDERS} orders, one row each", unit="ms")
    async with AsyncExitStack() as stack:
        tables = {}
        for case in CASES:
            if case.is_large and not world.is_large:
                result.notes.append(f"not run without --large: {case.name.format(case.rows)}")
                continue
            rows = min(case.rows, QUICK_MANY) if world.is_quick else case.rows
            table = await stack.enter_async_context(_opened(world, case, rows))
            tables[case.name.format(rows)] = table
            world.say(f"P5 filled: {case.name.format(rows)}")
        many = next(table for table in tables.values() if table.rows > FEW)
        for turn in range(1 + world.rounds * (QUICK_CLAIMS if world.is_quick else CLAIMS_A_ROUND)):
            # Claim by claim, so that whatever disturbs the machine disturbs all alike.
            for name, table in tables.items():
                ms, backend_ms = await table.claim()
                if turn:  # the first one reads catalogue and pages
                    result.add(name, ms, **{CPU: backend_ms})
            ms, backend_ms = await many.bare_update()
            if turn:
                result.add(BARE, ms, **{CPU: backend_ms})
    for name, table in tables.items():
        if table.case.at_most is not None:
            ratio = result.ratio(name, BASE)
            result.goals.append(
                Goal(what=f"{name}, x {BASE}", value=ratio, at_most=table.case.at_most)
            )
    result.goals.append(Goal(what=f"{BASE}, x {BARE}", value=result.ratio(BASE, BARE), at_most=3))
    return result


class Table:
    """A case's database, and a store on it."""

    def __init__(
        self,
        case: Case,
        rows: int,
        database: Database,
        connection: "asyncpg.Connection[asyncpg.Record]",
    ) -> None:
        self.case = case
        self.rows = rows
        self._database = database
        self._store = Store(database=database, by="the benchmark")
        self._connection = connection
        self._place = Place()
        self._left = 0

    async def fill(self) -> None:
        """Fill it; and where a snapshot is held, have half of it done."""
        await self.case.fill(self._connection, self.rows)
        self._left = self.rows

    async def half_done(self) -> None:
        """The first half of the queue is done."""
        await self._connection.execute(
            "UPDATE pending_stock_operations SET status = 'completed', completed_at = now()"
            f" WHERE id IN ({OLDEST})".replace("$1", str(self.rows // 2))
        )

    async def claim(self) -> tuple[float, float]:
        """Claim once; gives the ms, and the CPU of the backend."""
        if self.case.is_refilled and self._left < 2 * ORDERS:
            await self._connection.execute("TRUNCATE pending_stock_operations CASCADE")
            await self.fill()
        async with self._database.connection() as connection:
            backend = connection.get_server_pid()
        cpu_before, began_at = cpu_ms(backend), time.perf_counter()
        claim = await self._store.claim(
            limit=ORDERS, lease_seconds=LEASE_SECONDS, place=self._place
        )
        took_ms = (time.perf_counter() - began_at) * 1000
        backend_ms = cpu_ms(backend) - cpu_before
        if len(claim.pushes) != ORDERS:
            raise NotVerified(f"{self.case.name}: {len(claim.pushes)} orders of {ORDERS}")
        self._left -= ORDERS
        if self.case.is_placed:
            self._place = claim.next_place
        return took_ms, backend_ms

    async def bare_update(self) -> tuple[float, float]:
        """Mark as many rows with nothing around it; gives the same."""
        backend = self._connection.get_server_pid()
        ids = [row["id"] for row in await self._connection.fetch(OLDEST, ORDERS)]
        cpu_before, began_at = cpu_ms(backend), time.perf_counter()
        await self._connection.execute(BARE_UPDATE, ids)
        took_ms = (time.perf_counter() - began_at) * 1000
        return took_ms, cpu_ms(backend) - cpu_before


@asynccontextmanager
async def _opened(world: World, case: Case, rows: int) -> AsyncIterator[Table]:
    with world.postgres.database() as dsn:
        async with connected(dsn) as connection:
            # What a commit waits for is the disk, which is not what is measured here.
            name = await connection.fetchval("SELECT current_database()")
            await connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
            await connection.execute(
                "ALTER TABLE pending_stock_operations SET (autovacuum_enabled = off)"
            )
        async with (
            connected(dsn) as connection,
            connected(dsn) as other,
            Database(url=dsn, max_connections=1, command_seconds=LONG_SECONDS) as database,
        ):
            table = Table(case, rows, database, connection)
            await table.fill()
            if case.is_held:
                await other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
                await other.execute("SELECT count(*) FROM stock_sync_daemons")
                await table.half_done()
            yield table
