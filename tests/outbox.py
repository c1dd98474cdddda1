"""The order system, as far as the outbox sees it: plain SQL on a connection of its own."""

from dataclasses import dataclass
from uuid import UUID

import asyncpg

ACCOUNT = "0a1b2c3d-0000-4000-8000-000000000001"
OTHER_ACCOUNT = "0a1b2c3d-0000-4000-8000-000000000002"


def account(number: int) -> str:
    """One of many accounts' tokens."""
    return f"0a1b2c3d-0000-4000-8000-{number:012x}"


@dataclass(frozen=True)
class Outbox:
    connection: "asyncpg.Connection[asyncpg.Record]"

    async def insert(
        self, order_id: str = "order", token_id: str = ACCOUNT, **columns: object
    ) -> UUID:
        """Insert one row; what is not said has the column's default."""
        row = {"token_id": token_id, "order_id": order_id, "sku": "A-1", "quantity": 1, **columns}
        places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
        statement = (
            f"INSERT INTO pending_stock_operations ({', '.join(row)})"
            f" VALUES ({places}) RETURNING id"
        )
        result: UUID = await self.connection.fetchval(statement, *row.values())
        return result

    async def insert_units(
        self, count: int, order_id: str = "order", token_id: str = ACCOUNT
    ) -> None:
        """Insert an order of so many units, a row each, in one statement."""
        await self.connection.execute(
            "INSERT INTO pending_stock_operations (token_id, order_id, sku, quantity)"
            " SELECT $1, $2, 'A-1', 1 FROM generate_series(1, $3)",
            token_id,
            order_id,
            count,
        )

    async def insert_orders(self, count: int, *, units: int = 1, token_id: str = ACCOUNT) -> None:
        """Insert orders `order-1` … with so many rows each."""
        await self.connection.execute(
            "INSERT INTO pending_stock_operations (token_id, order_id, sku, quantity)"
            " SELECT $1, 'order-' || n, 'A-' || unit, 1"
            " FROM generate_series(1, $2) n, generate_series(1, $3) unit",
            token_id,
            count,
            units,
        )

    async def row(self, row_id: UUID) -> asyncpg.Record:
        row = await self.connection.fetchrow(
            "SELECT * FROM pending_stock_operations WHERE id = $1", row_id
        )
        assert row is not None
        return row

    async def rows(self) -> list[asyncpg.Record]:
        rows: list[asyncpg.Record] = await self.connection.fetch(
            "SELECT * FROM pending_stock_operations ORDER BY seq"
        )
        return rows

    async def statuses(self) -> dict[str, int]:
        rows = await self.connection.fetch(
            "SELECT status, count(*) AS n FROM pending_stock_operations GROUP BY status"
        )
        return {row["status"]: row["n"] for row in rows}

    async def order(
        self, order_id: str = "order", token_id: str = ACCOUNT
    ) -> asyncpg.Record | None:
        """What the daemon keeps of this order, if it is in need."""
        return await self.connection.fetchrow(
            "SELECT * FROM stock_sync_orders WHERE order_id = $1 AND token_id = $2",
            order_id,
            token_id,
        )

    async def actions(self, row_id: UUID) -> list[str]:
        rows = await self.connection.fetch(
            "SELECT action FROM stock_synchronization_logs WHERE operation_id = $1 ORDER BY id",
            row_id,
        )
        return [row["action"] for row in rows]

    async def expire_leases(self) -> None:
        """Move time instead of waiting: every lease is over."""
        await self.connection.execute(
            "UPDATE pending_stock_operations SET lease_until = now() - interval '1 second'"
            " WHERE status = 'processing'"
        )
        await self.connection.execute(
            "UPDATE stock_sync_orders SET lease_until = now() - interval '1 second'"
            " WHERE claim_token IS NOT NULL"
        )

    async def make_due(self) -> None:
        """Move time instead of waiting: every retry is due."""
        await self.connection.execute(
            "UPDATE pending_stock_operations SET next_retry_at = now() WHERE status = 'pending'"
        )
        await self.connection.execute(
            "UPDATE stock_sync_orders SET push_due_at = now() WHERE push_due_at IS NOT NULL"
        )
