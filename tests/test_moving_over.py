"""Moving over from a queue table that the order system made for itself, by the README's own SQL."""

import asyncio
import json
import os
import secrets
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from stocksync import schema
from stocksync.database import Database
from stocksync.demo.microservice import StandIn
from stocksync.demo.microservice.behaviour import FlagRow
from tests.daemons import running_daemon
from tests.outbox import Outbox
from tests.relaying import until_all, until_async
from tests.service import SECRET, TOKEN_ID, USER_ID, running_stand_in
from tests.test_readme import block_after

SHAPES = Path(__file__).parent / "recipes"
UNIT = "row_for_each_unit"
ORDER = "row_for_each_order"
NAMES = {UNIT: "a row for each unit", ORDER: "a row for each order"}
STATUSES = ["PENDING", "PROCESSING", "COMPLETED", "FAILED", "CANCELLED"]
OVER = {"COMPLETED", "CANCELLED"}
Row = tuple[str, str, str, int]
"""Order, type, status, units."""
WAITING: Row = ("one waiting", "DEDUCTION", "PENDING", 1)


@dataclass
class OldQueue:
    """The old tables, and what the order system wrote there."""

    connection: "asyncpg.Connection[asyncpg.Record]"
    shape: str
    dsn: str

    async def insert(
        self, row: Row, *, by: "asyncpg.Connection[asyncpg.Record] | None" = None
    ) -> UUID:
        order_id, operation_type, status, units = row
        row_id = uuid4()
        columns: dict[str, object] = {
            "id": row_id,
            "token_id": TOKEN_ID,
            "order_id": order_id,
            "allegro_order_id": "A-1",
            "operation_type": operation_type,
            "status": status,
            "warehouse": "Ирина",
            "retry_count": 2,
        }
        if self.shape == UNIT:
            columns |= {"sku": "SKU-1", "quantity": units, "max_retries": 5}
        else:
            # As many lines of one unit, which some versions did not write down.
            lines: list[dict[str, object]] = [{"sku": f"SKU-{unit}"} for unit in range(abs(units))]
            if units < 0:
                lines = [{"sku": "SKU-1", "quantity": units}]
            columns["line_items"] = json.dumps(lines)
        places = ", ".join(f"${n}" for n in range(1, len(columns) + 1))
        now = "clock_timestamp() AT TIME ZONE 'UTC'"
        completed_at = now if status == "COMPLETED" else "NULL"
        await (by or self.connection).execute(
            f"INSERT INTO public.pending_stock_operations ({', '.join(columns)},"
            " next_retry_at, created_at, updated_at, completed_at)"
            f" VALUES ({places}, {now}, {now} - interval '2 days', {now}, {completed_at})",
            *columns.values(),
        )
        return row_id

    async def run(self, step: str) -> None:
        """One of the README's blocks, as psql would."""
        try:
            await self.connection.execute(block_after(f"moving over: {step}"))
        except asyncpg.PostgresError:
            await self.connection.execute("ROLLBACK")
            raise

    async def differences(self) -> list[tuple[str, int, int]]:
        rows = await self.connection.fetch(block_after("moving over: check"))
        return [(row["order_id"], row["old"], row["new"]) for row in rows]


EVERY_STATUS: list[Row] = [(f"one {status}", "DEDUCTION", status, 1) for status in STATUSES]
# Rows of one order in every combination of two statuses, with types that say something.
MIXED: list[Row] = [
    row
    for first in STATUSES
    for second in STATUSES
    for kind, units in (("REFUND", 1), ("REFUND", 2), ("ADJUSTMENT", -2))
    for row in (
        (f"{first} {second} {kind} {units}", "DEDUCTION", first, 2),
        (f"{first} {second} {kind} {units}", kind, second, units),
    )
]
REFUNDED: list[Row] = [(f"refund {status}", "REFUND", status, 2) for status in STATUSES]
ADJUSTED: list[Row] = [(f"adjusted {status}", "ADJUSTMENT", status, 3) for status in STATUSES]
ROWS: dict[str, list[Row]] = {
    UNIT: [*EVERY_STATUS, *EVERY_STATUS, *ADJUSTED, *MIXED],
    ORDER: [*EVERY_STATUS, *ADJUSTED, *REFUNDED],
}


def sums(shape: str, rows: list[Row]) -> dict[str, int]:
    """CONTRACT's definition, once more, by hand."""
    result: dict[str, int] = defaultdict(int)
    for order_id, kind, status, units in rows:
        if kind == "REFUND" and shape == ORDER:
            # Its deduction stood where it stands: taken back, unless the refund was cancelled.
            result[order_id] += units
        if status != "CANCELLED":
            result[order_id] += -units if kind == "REFUND" else units
    return dict(result)


def flags(stand_in: StandIn) -> dict[str, bool]:
    """Orders and their flags, as the service holds them."""
    return {
        order_id: row.is_stock_updated for (_, order_id), row in stand_in.microservice.flags.items()
    }


@pytest.fixture(params=[UNIT, ORDER])
async def old(request: pytest.FixtureRequest, empty_dsn: str) -> AsyncIterator[OldQueue]:
    """The old tables with rows of every status, the new ones beside them, and the view."""
    connection = await asyncpg.connect(empty_dsn)
    try:
        # Sessions need not live in UTC, whatever the old times mean.
        await connection.execute("SET timezone = 'Asia/Tokyo'")
        await connection.execute((SHAPES / f"old_{request.param}.sql").read_text("utf-8"))
        await connection.execute(
            f"INSERT INTO allegro_tokens VALUES ('{TOKEN_ID}', 'one');"
            "INSERT INTO allegro_orders VALUES ('A-1')"
        )
        queue = OldQueue(connection, request.param, empty_dsn)
        for row in ROWS[queue.shape]:
            await queue.insert(row)
        async with Database(url=empty_dsn, schema="stocksync") as database:
            await schema.migrate(database)
        await queue.run(NAMES[queue.shape])
        yield queue
    finally:
        await connection.close()


@pytest.fixture
async def outbox(old: OldQueue) -> AsyncIterator[Outbox]:
    """The new tables."""
    connection = await asyncpg.connect(old.dsn)
    try:
        await connection.execute("SET search_path = stocksync")
        yield Outbox(connection)
    finally:
        await connection.close()


async def test_every_row_goes_over_and_every_flag_comes_right(
    old: OldQueue, outbox: Outbox
) -> None:
    rows = ROWS[old.shape]
    wanted = {order_id: total > 0 for order_id, total in sums(old.shape, rows).items()}
    await old.run("the move")
    assert await old.differences() == []
    unfinished = [row for row in rows if row[2] not in OVER]
    assert await outbox.statuses() == {"pending": len(unfinished)}
    ages = await outbox.connection.fetchrow(
        "SELECT min(age) AS youngest, max(age) AS oldest FROM ("
        "    SELECT extract(epoch FROM now() - created_at) / 3600 AS age"
        "    FROM pending_stock_operations) a"
    )
    assert ages is not None
    assert 47 < ages["youngest"] <= ages["oldest"] < 49

    async with running_stand_in() as stand_in:
        for order_id, flag in wanted.items():
            stand_in.microservice.flags[TOKEN_ID, order_id] = FlagRow(
                is_stock_updated=not flag, updated_at=""
            )
        with running_daemon(old.dsn, stand_in.url, DATABASE_SCHEMA="stocksync"):
            await until_all(outbox, "completed")
            pushed = {row[0] for row in unfinished}
            assert {order_id: flags(stand_in)[order_id] for order_id in pushed} == {
                order_id: wanted[order_id] for order_id in pushed
            }
            said = await compared(old.dsn, stand_in)
            assert (said["checked"], said["found"]) == (len(pushed), 0)

            await old.run("push what was over")
            await until_async(lambda: _nothing_is_due(outbox))
        # But for those that are over and came to nothing: there is no row of them, and no balance.
        wrong = {order_id for order_id, flag in wanted.items() if flags(stand_in)[order_id] != flag}
        over = wanted.keys() - pushed
        assert wrong == {order_id for order_id in over if not wanted[order_id]}
        assert over - wrong


async def _nothing_is_due(outbox: Outbox) -> bool:
    return not await outbox.connection.fetchval(
        "SELECT EXISTS (SELECT FROM stock_sync_orders"
        " WHERE push_due_at IS NOT NULL OR claim_token IS NOT NULL)"
    )


async def test_what_was_carried_over_counts_when_more_comes_of_the_order(
    old: OldQueue, outbox: Outbox
) -> None:
    await old.run("the move")
    assert sums(old.shape, ROWS[old.shape])["adjusted COMPLETED"] == 3
    async with running_stand_in() as stand_in:
        with running_daemon(old.dsn, stand_in.url, DATABASE_SCHEMA="stocksync"):
            for units, flag in ((2, True), (1, False)):
                await outbox.insert(
                    "adjusted COMPLETED", TOKEN_ID, operation_type="refund", quantity=units
                )
                await until_all(outbox, "completed")
                assert flags(stand_in)["adjusted COMPLETED"] is flag


async def test_a_second_move_changes_nothing(old: OldQueue, outbox: Outbox) -> None:
    await old.run("the move")
    before = await everything(outbox)
    with pytest.raises(asyncpg.DuplicateFunctionError):
        await old.run("the move")
    assert await everything(outbox) == before


async def test_a_row_that_breaks_a_rule_stops_the_move_by_its_name_and_nothing_has_changed(
    old: OldQueue, outbox: Outbox
) -> None:
    await old.insert(("with/slash", "DEDUCTION", "PENDING", 1))
    before = await everything(outbox)
    with pytest.raises(asyncpg.CheckViolationError, match="order_id_has_no_slash"):
        await old.run("the move")
    assert await everything(outbox) == before
    # Not forwarded either: the trigger is gone with the rest.
    await old.insert(WAITING)
    assert await everything(outbox) == before


async def everything(outbox: Outbox) -> tuple[list[asyncpg.Record], list[asyncpg.Record]]:
    balances = await outbox.connection.fetch("SELECT * FROM stock_sync_orders ORDER BY order_id")
    return await outbox.rows(), balances


async def test_what_is_inserted_before_during_and_after_the_move_is_not_lost(
    old: OldQueue, outbox: Outbox
) -> None:
    before, during = await asyncpg.connect(old.dsn), await asyncpg.connect(old.dsn)
    try:
        # Uncommitted when the move begins: it waits for that.
        transaction = before.transaction()
        await transaction.start()
        early = await old.insert(("early", "DEDUCTION", "PENDING", 1), by=before)
        moving = asyncio.create_task(old.run("the move"))
        await until_waiting(outbox, "pending_stock_operations")
        # The move then stops in its middle, as we hold what it needs; a row comes meanwhile.
        held = outbox.connection.transaction()
        await held.start()
        await outbox.connection.execute("LOCK TABLE stock_sync_orders IN EXCLUSIVE MODE")
        await transaction.commit()
        await until_waiting(outbox, "stock_sync_orders")
        inserting = asyncio.create_task(old.insert(("late", "DEDUCTION", "PENDING", 1), by=during))
        await until_waiting(outbox, "pending_stock_operations")
        await held.commit()
        await moving
        late = await inserting
    finally:
        await before.close()
        await during.close()
    after = await old.insert(("after", "DEDUCTION", "PENDING", 1))
    for row_id, order_id in ((early, "early"), (late, "late"), (after, "after")):
        row = await outbox.row(row_id)
        assert (row["order_id"], row["status"], row["quantity"]) == (order_id, "pending", 1)
    assert await old.differences() == []


async def test_forwarding_needs_no_rights_that_the_order_system_has_not(
    old: OldQueue, outbox: Outbox
) -> None:
    await old.run("the move")
    role = f"order_system_{secrets.token_hex(4)}"
    await outbox.connection.execute(
        f"CREATE ROLE {role}; GRANT INSERT ON public.pending_stock_operations TO {role}"
    )
    try:
        await old.connection.execute(f"SET ROLE {role}")
        row_id = await old.insert(WAITING)
    finally:
        await old.connection.execute("RESET ROLE")
        await outbox.connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
    assert (await outbox.row(row_id))["order_id"] == WAITING[0]


async def until_waiting(outbox: Outbox, table: str) -> None:
    """Wait until somebody waits for a lock on the table, whichever schema it is in."""

    async def is_so() -> bool:
        return bool(
            await outbox.connection.fetchval(
                "SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
                " WHERE NOT l.granted AND c.relname = $1)",
                table,
            )
        )

    await until_async(is_so)


async def test_an_old_worker_that_was_forgotten_cannot_change_what_has_moved(
    old: OldQueue,
) -> None:
    await old.run("the move")
    for change in ("UPDATE {} SET status = 'COMPLETED'", "DELETE FROM {}"):
        with pytest.raises(asyncpg.RaiseError, match="this table was left"):
            await old.connection.execute(change.format("public.pending_stock_operations"))


async def test_the_way_back_leaves_the_old_queue_as_it_was_with_what_came_meanwhile(
    old: OldQueue,
) -> None:
    await old.run("the move")
    await old.insert(WAITING)
    await old.run("back")
    counts = await old.connection.fetch(
        "SELECT status::text, count(*) FROM public.pending_stock_operations GROUP BY 1"
    )
    expected = Counter(status for _, _, status, _ in [*ROWS[old.shape], WAITING])
    assert {row["status"]: row["count"] for row in counts} == expected
    await old.connection.execute(
        "UPDATE public.pending_stock_operations SET status = 'COMPLETED' WHERE status = 'PENDING'"
    )
    # And once more from the beginning.
    await old.connection.execute("DROP SCHEMA stocksync CASCADE")


async def compared(dsn: str, stand_in: StandIn) -> dict[str, Any]:
    """What `stocksync reconcile --dry-run` says."""
    command = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "stocksync", "reconcile", "--dry-run", "--json"],
        env={
            "PATH": os.environ["PATH"],
            "STOCK_SYNC_DATABASE_URL": dsn,
            "STOCK_SYNC_DATABASE_SCHEMA": "stocksync",
            "STOCK_SYNC_MICROSERVICE_URL": stand_in.url,
            "STOCK_SYNC_MICROSERVICE_JWT_SECRET": SECRET,
            "STOCK_SYNC_MICROSERVICE_JWT_USER_ID": USER_ID,
        },
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await command.communicate()
    assert command.returncode == 0
    result: dict[str, Any] = json.loads(said)
    return result
