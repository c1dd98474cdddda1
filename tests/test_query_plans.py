"""The hot statements cost what a batch costs, whatever lies in the table and the statistics say."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from stocksync.database import Database
from stocksync.statements import sql_directory
from stocksync.store import Store
from tests.outbox import ACCOUNT, Outbox
from tests.settling import claim, settle

UNITS = 3
BATCH = 50
SHORT, LONG = 500, 5000
# Pages that a statement may touch with the long queue, for each that it touches with the short one.
# Reading the queue, or an index of it, once would make it several times as many.
MORE = 1.3

STATISTICS = {
    "none": "SELECT 1",
    "of the filled table": "ANALYZE pending_stock_operations",
    # What ANALYZE notes when it runs in the middle of a bulk load: many pages, no rows.
    "of a bulk load": "UPDATE pg_class SET reltuples = 0, relpages = pg_relation_size(oid) / 8192"
    " WHERE relname LIKE 'pending_stock_operations%'",
}

CLAIM = "SELECT * FROM stock_sync_claim({}, gen_random_uuid(), 60, '', '{{}}', '{{}}', '{{}}')"


@pytest.fixture(params=STATISTICS)
def statistics(request: pytest.FixtureRequest) -> str:
    return STATISTICS[str(request.param)]


async def fill(outbox: Outbox, orders: int, statistics: str) -> None:
    """So many orders wait, with these statistics."""
    run = outbox.connection.execute
    await run("ALTER TABLE pending_stock_operations SET (autovacuum_enabled = off)")
    await run("TRUNCATE pending_stock_operations, stock_synchronization_logs, stock_sync_orders")
    await run("ANALYZE pending_stock_operations")
    await outbox.insert_orders(orders, units=UNITS)
    await run(statistics)


async def pages(outbox: Outbox, statement: str) -> int:
    """How many pages the statement touched, by Postgres's own count."""
    return pages_in(await outbox.connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS) {statement}"))


def pages_in(lines: Sequence[asyncpg.Record]) -> int:
    first = next(row[0] for row in lines if "Buffers:" in row[0])
    return sum(int(n) for n in re.findall(r"(?:hit|read)=(\d+)", first))


@pytest.mark.parametrize("limit", [1, BATCH])
async def test_a_claim_costs_the_same_with_ten_times_as_many_waiting(
    outbox: Outbox, statistics: str, limit: int
) -> None:
    touched = {}
    for orders in (SHORT, LONG):
        await fill(outbox, orders, statistics)
        # Once for the catalogue and the session's plans.
        await pages(outbox, CLAIM.format(limit))
        touched[orders] = await pages(outbox, CLAIM.format(limit))
    assert touched[LONG] <= MORE * touched[SHORT]


class Explained(Database):
    """Explains the settlement that a store asks for, and counts its pages."""

    pages = 0

    def query(self, name: str) -> str:
        return f"EXPLAIN (ANALYZE, BUFFERS) {super().query(name)}"

    async def fetchrow(self, query: str, *args: object) -> Any:  # noqa: ANN401 - a row's stand-in
        self.pages = pages_in(await self.fetch(query, *args))
        nothing: dict[str, object] = {"lost_ids": [], "blocked_ids": [], "given_up_ids": []}
        counted = {"completed_ages": [], "first_tries": 0, "retried_seconds": 0.0, "row_retries": 0}
        return nothing | counted | {"is_clean": True}


async def test_a_settlement_costs_the_same_with_ten_times_as_many_waiting(
    dsn: str, outbox: Outbox, store: Store, statistics: str
) -> None:
    touched = {}
    async with Explained(url=dsn, max_connections=1) as explained:
        for orders in (SHORT, LONG):
            await fill(outbox, orders, statistics)
            # Twice: the first one also reads the catalogue, and makes the session's plans.
            for _ in range(2):
                await settle(Store(database=explained, by="a test"), await claim(store, BATCH))
            touched[orders] = explained.pages
    assert await outbox.statuses() == {
        "pending": (LONG - 2 * BATCH) * 3,
        "completed": 2 * BATCH * 3,
    }
    assert touched[LONG] <= MORE * touched[SHORT]


async def test_rescuing_nothing_does_not_look_at_what_waits(
    outbox: Outbox, statistics: str
) -> None:
    await fill(outbox, LONG, statistics)
    await pages(outbox, "SELECT * FROM stock_sync_rescue(1000, 'x')")
    assert await pages(outbox, "SELECT * FROM stock_sync_rescue(1000, 'x')") < 50


async def test_the_rows_behind_one_order_do_not_make_the_claim_dear(
    outbox: Outbox, store: Store, statistics: str
) -> None:
    await fill(outbox, SHORT, statistics)
    await pages(outbox, CLAIM.format(BATCH))
    usual = await pages(outbox, CLAIM.format(BATCH))
    [first] = await claim(store, 1)
    await outbox.insert_units(2000, first.order_id, ACCOUNT)
    assert await pages(outbox, CLAIM.format(BATCH)) <= 2 * usual


# --- the files -----------------------------------------------------------------------------------


def test_every_statement_has_its_file_and_every_file_is_used() -> None:
    files = {file.stem for file in (sql_directory() / "queries").glob("*.sql")}
    package = Path(__file__).parent.parent / "stocksync"
    code = "\n".join(file.read_text("utf-8") for file in package.rglob("*.py"))
    named = set(re.findall(r"\.(?:query|fetch|fetchrow|fetchval)\(\s*\"(\w+)\"", code))
    assert named <= files
    assert {name for name in files if f'"{name}"' not in code} == set()


@pytest.mark.parametrize(
    "file", sorted((sql_directory() / "queries").glob("*.sql")), ids=lambda file: file.stem
)
def test_a_statement_opens_with_what_it_does_and_what_its_parameters_mean(file: Path) -> None:
    text = file.read_text("utf-8")
    comment = "".join(line for line in text.splitlines() if line.startswith("--"))
    code = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    assert text.startswith("-- ")
    for parameter in set(re.findall(r"\$\d+", code)):
        assert re.search(rf"\{parameter}\b", comment), f"{parameter} is not explained"
    assert code.count(";") == 0, "one file, one statement"
