"""What the outbox costs the order system's transaction: `python -m tests.recipes.cost [ROUNDS]`.

One client deducts stock, with no, one, and ten rows beside it (one INSERT), in turns on one durable
Postgres, while somebody wants to be woken of every row, as an idle daemon does. Prints microseconds
a transaction: the median over all, and of the rounds' medians the lowest and the highest.
"""

import asyncio
import statistics
import sys
import time
from uuid import uuid4

import psycopg

from stocksync import schema
from stocksync.database import Database
from stocksync.demo.postgres import PostgresServer

TRANSACTIONS = 200
ROWS = (0, 1, 10)
INSERT = (
    "INSERT INTO pending_stock_operations (id, token_id, order_id, sku, quantity)"
    " SELECT id, '11111111-1111-4111-8111-111111111111', %s, 'SKU-1', 1 FROM unnest(%s::uuid[]) id"
    " ON CONFLICT (id) DO NOTHING RETURNING id"
)
# The number that 0002_insert_triggers.sql tries.
WAKE_ME = "SELECT pg_advisory_lock_shared(1398035287, 'pending_stock_operations'::regclass::int4)"


async def migrated(dsn: str) -> None:
    async with Database(url=dsn) as database:
        await schema.migrate(database)


def one_sale(connection: "psycopg.Connection[tuple[object, ...]]", rows: int) -> float:
    """Microseconds that the transaction took."""
    begun = time.perf_counter()
    with connection.transaction():
        if rows:
            ids = [uuid4() for _ in range(rows)]
            connection.execute(INSERT, [f"order-{ids[0]}", ids]).fetchall()
        connection.execute(
            "UPDATE stock SET quantity = quantity - %s WHERE sku = 'SKU-1'", [rows or 1]
        )
    return (time.perf_counter() - begun) * 1e6


def main(rounds: int) -> None:
    with PostgresServer() as postgres:
        dsn = postgres.dsn()
        asyncio.run(migrated(dsn))
        taken: dict[int, list[list[float]]] = {rows: [] for rows in ROWS}
        with psycopg.connect(dsn) as connection, psycopg.connect(dsn, autocommit=True) as daemon:
            daemon.execute(WAKE_ME)
            connection.execute("CREATE TABLE stock (sku text PRIMARY KEY, quantity bigint)")
            connection.execute("INSERT INTO stock VALUES ('SKU-1', 0)")
            connection.commit()
            for _ in range(rounds):
                for rows in ROWS:
                    taken[rows].append([one_sale(connection, rows) for _ in range(TRANSACTIONS)])
    for rows, by_round in taken.items():
        medians = [statistics.median(each) for each in by_round]
        whole = statistics.median(each for one in by_round for each in one)
        print(f"{rows:3} rows {whole:6.0f} µs  {min(medians):.0f} to {max(medians):.0f}")  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 20)
