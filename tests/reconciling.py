"""Both sides for reconciling: settled orders here, flags at a stand-in that somebody flips."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stocksync.database import Database
from stocksync.demo.microservice import StandIn
from stocksync.gateway import Gateway, Health, MintedToken
from stocksync.reconcile import Reconcile, Report
from tests.outbox import Outbox
from tests.relaying import running_relay, until_all, until_async
from tests.service import SECRET, TOKEN_ID, USER_ID

EARLIER = (
    """
    UPDATE stock_synchronization_logs SET timestamp = timestamp - make_interval(secs => $1)
    WHERE operation_id IN (
        SELECT id FROM pending_stock_operations WHERE order_id = coalesce($2, order_id))""",
    """
    UPDATE pending_stock_operations
    SET completed_at = completed_at - d, updated_at = updated_at - d, created_at = created_at - d
    FROM make_interval(secs => $1) d WHERE order_id = coalesce($2, order_id)""",
    """
    UPDATE stock_sync_orders SET repaired_at = repaired_at - d, ambiguous_at = ambiguous_at - d
    FROM make_interval(secs => $1) d WHERE order_id = coalesce($2, order_id)""",
)


@dataclass
class Sides:
    """Both sides, and a service that counts what is read of it."""

    dsn: str
    outbox: Outbox
    stand_in: StandIn
    gateway: Gateway
    database: Database
    reads: list[str]
    before_answer: Callable[[str], Any] | None = None
    """Called after a flag was read, before it is known: for what happens meanwhile."""

    async def read_flag(self, *, token_id: str, order_id: str) -> bool:
        self.reads.append(order_id)
        flag = await self.gateway.read_flag(token_id=token_id, order_id=order_id)
        if self.before_answer is not None:
            await self.before_answer(order_id)
        return flag

    async def health(self) -> Health:
        return await self.gateway.health()

    def reconcile(self, *, batch_size: int = 100, threshold_hours: int = 24) -> Reconcile:
        return Reconcile(
            database=self.database,
            service=self,
            batch_size=batch_size,
            threshold_hours=threshold_hours,
            by="a test",
        )

    async def run(self, *, batch_size: int = 100, since: datetime | None = None) -> Report:
        """A turn of the timer, now."""
        now = await self.outbox.connection.fetchval("SELECT clock_timestamp()")
        reconcile = self.reconcile(batch_size=batch_size)
        return await reconcile.run(succeeded_at=since, started_at=now)

    async def push_all(self) -> None:
        """Have a relay push what waits, until all is completed and nothing is to be pushed."""
        async with running_relay(self.dsn, self.stand_in, is_listening=False):
            await until_all(self.outbox, "completed")
            await until_async(self._nothing_is_to_be_pushed)

    async def _nothing_is_to_be_pushed(self) -> bool:
        return not await self.outbox.connection.fetchval(
            "SELECT EXISTS (SELECT FROM stock_sync_orders"
            " WHERE push_due_at IS NOT NULL OR claim_token IS NOT NULL)"
        )

    async def settle(self, *order_ids: str, token_id: str = TOKEN_ID) -> None:
        """Orders of one row each, pushed and completed."""
        for order_id in order_ids:
            await self.outbox.insert(order_id, token_id)
        await self.push_all()

    def flip(self, *order_ids: str, token_id: str = TOKEN_ID) -> None:
        """Somebody meddles at the service."""
        for order_id in order_ids:
            row = self.stand_in.microservice.flags[token_id, order_id]
            row.is_stock_updated = not row.is_stock_updated

    def flag(self, order_id: str = "order", token_id: str = TOKEN_ID) -> bool:
        return self.stand_in.microservice.flags[token_id, order_id].is_stock_updated

    async def pass_time(self, hours: float, order_id: str | None = None) -> None:
        """Move time instead of waiting: all that happened (to this order) was earlier."""
        for statement in EARLIER:
            await self.outbox.connection.execute(statement, hours * 3600, order_id)

    async def mark_ambiguous(self, *order_ids: str, seconds_ago: float = 61) -> None:
        await self.outbox.connection.execute(
            "INSERT INTO stock_sync_orders (order_id, token_id, ambiguous_at)"
            " SELECT unnest($1::text[]), $2, now() - make_interval(secs => $3)"
            " ON CONFLICT (order_id, token_id) DO UPDATE SET ambiguous_at = excluded.ambiguous_at",
            list(order_ids),
            TOKEN_ID,
            seconds_ago,
        )

    async def entries(self, action: str) -> list[Any]:
        """Details of the log's entries of this action."""
        rows = await self.outbox.connection.fetch(
            "SELECT details FROM stock_synchronization_logs WHERE action = $1 ORDER BY id", action
        )
        return [row["details"] for row in rows]

    async def events(self) -> list[Any]:
        return await self.outbox.connection.fetch(
            "SELECT * FROM stock_sync_events WHERE kind = 'discrepancy' ORDER BY id"
        )

    async def dump(self) -> dict[str, list[Any]]:
        """All that every table holds."""
        names = await self.outbox.connection.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"
        )
        return {
            name: await self.outbox.connection.fetch(f'SELECT * FROM "{name}" t ORDER BY t::text')
            for (name,) in names
        }


@asynccontextmanager
async def both_sides(
    dsn: str, outbox: Outbox, stand_in: StandIn, database: Database
) -> AsyncIterator[Sides]:
    async with Gateway(
        base_url=stand_in.url,
        credentials=MintedToken(secret=SECRET, user_id=USER_ID, clock=time.time),
        timeout_seconds=5,
        concurrency=1,
    ) as gateway:
        yield Sides(dsn, outbox, stand_in, gateway, database, reads=[])
