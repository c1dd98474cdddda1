"""The plans of the hot statements touch about a batch of rows, whatever the statistics say."""

import re
from pathlib import Path

import asyncpg
import pytest

from stocksync.database import Database
from stocksync.statements import sql_directory
from stocksync.store import Store
from tests.outbox import ACCOUNT, Outbox
from tests.settling import claim, settle

ORDERS = 3000
UNITS = 3
BATCH = 50
# Buffers that a claim or a settlement of a batch may touch, reads and writes, indexes and heap,
# per row: measured 27 and 33. A scan of the table or of an index would touch thousands a row.
BUFFERS_A_ROW = 60

CLAIM = "SELECT * FROM stock_sync_claim({}, gen_random_uuid(), 60, '', '{{}}', '{{}}', '{{}}')"

STATISTICS = {
    "none": "SELECT 1",
    "of the filled table": "ANALYZE pending_stock_operations",
    # What ANALYZE notes when it runs in the middle of a bulk load: many pages, no rows.
    "of a bulk load": "UPDATE pg_class SET reltuples = 0, relpages = pg_relation_size(oid) / 8192"
    " WHERE relname LIKE 'pending_stock_operations%'",
}


@pytest.fixture(params=STATISTICS)
async def filled(outbox: Outbox, request: pytest.FixtureRequest) -> Outbox:
    """Nine thousand pending rows, with these statistics."""
    await outbox.connection.execute(
        "ALTER TABLE pending_stock_operations SET (autovacuum_enabled = off)"
    )
    await outbox.connection.execute("ANALYZE pending_stock_operations")
    await outbox.insert_orders(ORDERS, units=UNITS)
    await outbox.connection.execute(STATISTICS[request.param])
    return outbox


async def buffers(connection: "asyncpg.Connection[asyncpg.Record]", statement: str) -> int:
    """How many pages the statement touched, by Postgres's own count."""
    lines = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS) {statement}")
    [first] = [row[0] for row in lines if "Buffers:" in row[0]][:1]
    return sum(int(n) for n in re.findall(r"(?:hit|read)=(\d+)", first))


async def test_a_claim_touches_about_a_batch(filled: Outbox) -> None:
    touched = await buffers(
        filled.connection,
        CLAIM.format(BATCH),
    )
    assert touched < BATCH * UNITS * BUFFERS_A_ROW


async def test_a_claim_of_few_is_as_cheap_with_a_long_queue(filled: Outbox) -> None:
    touched = await buffers(
        filled.connection,
        CLAIM.format(1),
    )
    assert touched < 10 * UNITS * BUFFERS_A_ROW


async def test_settling_touches_about_a_batch(
    filled: Outbox, store: Store, database: Database
) -> None:
    before = await pages(filled)
    pushes = await claim(store, BATCH)
    await settle(store, pushes)
    # Once more, now with the plans that the session keeps.
    pushes = await claim(store, BATCH)
    async with database.connection() as connection:
        await connection.execute("SELECT pg_stat_force_next_flush()")
    await settle(store, pushes)
    assert len(pushes) == BATCH
    touched = await pages(filled) - before
    assert touched < 4 * BATCH * UNITS * BUFFERS_A_ROW


async def pages(outbox: Outbox) -> int:
    """Pages of the outbox and its indexes that were ever asked for."""
    await outbox.connection.execute("SELECT pg_stat_clear_snapshot()")
    value: int = await outbox.connection.fetchval(
        "SELECT heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read"
        " FROM pg_statio_user_tables WHERE relname = 'pending_stock_operations'"
    )
    return value


async def test_rescuing_nothing_reads_nothing_of_the_queue(filled: Outbox) -> None:
    assert await buffers(filled.connection, "SELECT * FROM stock_sync_rescue(1000, 'x')") < 500


async def test_the_rows_behind_one_order_do_not_make_the_claim_dear(
    filled: Outbox, store: Store
) -> None:
    [first] = await claim(store, 1)
    await filled.insert_units(2000, first.order_id, ACCOUNT)
    touched = await buffers(
        filled.connection,
        CLAIM.format(BATCH),
    )
    assert touched < BATCH * UNITS * BUFFERS_A_ROW


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
