"""The tables: what an INSERT may say, and how they come to be."""

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from stocksync import schema
from stocksync.database import Database
from stocksync.model import DatabaseUnavailable, SchemaError
from tests.outbox import ACCOUNT, Outbox
from tests.relaying import until_async

THIS_FILE = Path(__file__).read_text("utf-8")

# --- an INSERT by the order system ---------------------------------------------------------------


async def test_four_columns_are_a_complete_row(outbox: Outbox) -> None:
    row = await outbox.row(await outbox.insert())
    expected = {
        "allegro_order_id": None,
        "operation_type": "deduction",
        "warehouse": "Ирина",
        "status": "pending",
        "retry_count": 0,
        "max_retries": None,
        "completed_at": None,
        "error_message": None,
        "claim_token": None,
    }
    assert {name: row[name] for name in expected} == expected
    assert row["next_retry_at"] == row["created_at"] == row["updated_at"]


@pytest.mark.parametrize(
    ("rule", "columns"),
    [
        ("token_id_is_a_uuid_in_lower_case", {"token_id": "0A1B2C3D-0000-4000-8000-000000000001"}),
        ("token_id_is_a_uuid_in_lower_case", {"token_id": "0a1b2c3d000040008000000000000001"}),
        ("token_id_is_a_uuid_in_lower_case", {"token_id": ""}),
        ("token_id_is_a_uuid_in_lower_case", {"token_id": "0a1b2c3d-0000-4000-8000-00000000000g"}),
        ("order_id_has_1_to_500_characters", {"order_id": ""}),
        ("order_id_has_1_to_500_characters", {"order_id": "x" * 501}),
        ("order_id_has_no_slash_no_backslash_and_no_control_character", {"order_id": "a/b"}),
        ("order_id_has_no_slash_no_backslash_and_no_control_character", {"order_id": "a\\b"}),
        ("order_id_has_no_slash_no_backslash_and_no_control_character", {"order_id": "a\nb"}),
        ("order_id_has_no_slash_no_backslash_and_no_control_character", {"order_id": "a\x7fb"}),
        ("order_id_has_no_slash_no_backslash_and_no_control_character", {"order_id": "a\x85b"}),
        ("order_id_is_neither_one_dot_nor_two", {"order_id": "."}),
        ("order_id_is_neither_one_dot_nor_two", {"order_id": ".."}),
        ("operation_type_is_deduction_refund_or_adjustment", {"operation_type": "DEDUCTION"}),
        ("sku_is_not_empty", {"sku": ""}),
        ("quantity_is_above_0_or_for_an_adjustment_not_0", {"quantity": 0}),
        ("quantity_is_above_0_or_for_an_adjustment_not_0", {"quantity": -1}),
        (
            "quantity_is_above_0_or_for_an_adjustment_not_0",
            {"quantity": -1, "operation_type": "refund"},
        ),
        (
            "quantity_is_above_0_or_for_an_adjustment_not_0",
            {"quantity": 0, "operation_type": "adjustment"},
        ),
        ("status_is_pending_at_insert", {"status": "processing"}),
        ("status_is_pending_at_insert", {"status": "completed"}),
        ("status_is_pending_at_insert", {"status": "PENDING"}),
        ("retry_count_is_0_to_1000000", {"retry_count": -1}),
        ("retry_count_is_0_to_1000000", {"retry_count": 1_000_001}),
        ("max_retries_is_null_minus_1_0_or_more", {"max_retries": -2}),
        ("completed_at_goes_with_completed", {"completed_at": "now"}),
        ("claim_goes_with_processing", {"claim_no": 1}),
    ],
)
async def test_a_bad_value_is_refused_by_the_name_of_its_rule(
    outbox: Outbox, rule: str, columns: dict[str, Any]
) -> None:
    if columns.get("completed_at") == "now":
        columns = {"completed_at": await outbox.connection.fetchval("SELECT now()")}
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await outbox.insert(**columns)
    assert refused.value.constraint_name == rule
    assert f'"{rule}"' in str(refused.value)


@pytest.mark.parametrize("column", ["next_retry_at", "created_at", "updated_at"])
@pytest.mark.parametrize("time", ["infinity", "-infinity", "0001-01-01 00:00+03", "10000-01-01"])
async def test_a_time_that_no_client_can_express_is_refused(
    outbox: Outbox, column: str, time: str
) -> None:
    rule = (
        "next_retry_at_is_between_2000_and_9999"
        if column == "next_retry_at"
        else "created_at_and_updated_at_are_between_2000_and_9999"
    )
    with pytest.raises(asyncpg.CheckViolationError, match=rule):
        await outbox.connection.execute(
            "INSERT INTO pending_stock_operations"
            f" (token_id, order_id, sku, quantity, {column})"
            f" VALUES ('0a1b2c3d-0000-4000-8000-000000000001', 'x', 'x', 1, '{time}')"
        )


async def test_an_unknown_status_is_refused_also_later(outbox: Outbox) -> None:
    await outbox.insert()
    with pytest.raises(asyncpg.CheckViolationError, match="status_is_pending_processing_completed"):
        await outbox.connection.execute("UPDATE pending_stock_operations SET status = 'done'")


async def test_every_check_of_the_outbox_has_its_example_here(outbox: Outbox) -> None:
    names = await outbox.connection.fetch(
        "SELECT conname FROM pg_constraint WHERE contype = 'c'"
        " AND conrelid = 'pending_stock_operations'::regclass"
    )
    untested = {row["conname"] for row in names if row["conname"] not in THIS_FILE}
    assert untested <= {"status_is_pending_processing_completed_failed_or_cancelled"}


async def test_the_client_may_make_the_id_and_insert_it_twice(outbox: Outbox) -> None:
    row_id = await outbox.insert()
    result = await outbox.connection.execute(
        "INSERT INTO pending_stock_operations (id, token_id, order_id, sku, quantity)"
        " VALUES ($1, '0a1b2c3d-0000-4000-8000-000000000001', 'x', 'x', 1)"
        " ON CONFLICT (id) DO NOTHING",
        row_id,
    )
    assert result == "INSERT 0 0"


async def test_an_adjustment_may_give_back(outbox: Outbox) -> None:
    row_id = await outbox.insert(operation_type="adjustment", quantity=-3)
    assert (await outbox.row(row_id))["quantity"] == -3


async def test_the_log_goes_with_its_operation(outbox: Outbox) -> None:
    row_id = await outbox.insert()
    await outbox.connection.execute(
        "INSERT INTO stock_synchronization_logs (operation_id, action, status)"
        " VALUES ($1, 'retry', 'pending')",
        row_id,
    )
    await outbox.connection.execute("DELETE FROM pending_stock_operations")
    assert await outbox.actions(row_id) == []


# --- migrations ----------------------------------------------------------------------------------


async def test_migrating_twice_is_a_no_op(empty_dsn: str) -> None:
    async with Database(url=empty_dsn) as database:
        assert await schema.migrate(database) == schema.migrations()
        assert await schema.migrate(database) == []
        await schema.verify(database)


async def test_twenty_migrations_at_once_apply_each_file_once(empty_dsn: str) -> None:
    async def migrate() -> int:
        async with Database(url=empty_dsn) as database:
            return len(await schema.migrate(database))

    applied = await asyncio.gather(*(migrate() for _ in range(20)))
    assert sorted(applied) == [0] * 19 + [len(schema.migrations())]


async def test_a_dry_run_says_what_is_missing_and_changes_nothing(empty_dsn: str) -> None:
    async with Database(url=empty_dsn) as database:
        assert await schema.migrate(database, is_dry_run=True) == schema.migrations()
        assert await schema.migrate(database, is_dry_run=True) == schema.migrations()
        with pytest.raises(SchemaError, match="run `stocksync migrate`"):
            await schema.verify(database)


async def test_another_schema_is_made_and_used(empty_dsn: str) -> None:
    async with Database(url=empty_dsn, schema="stock") as database:
        await schema.migrate(database)
        await schema.verify(database)
    connection = await asyncpg.connect(empty_dsn)
    tables = await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'stock'")
    strays = await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
    await connection.close()
    assert (tables, strays) == (12, 0)


async def test_tables_of_these_names_that_are_not_ours_are_refused(
    empty_dsn: str,
) -> None:
    connection = await asyncpg.connect(empty_dsn)
    await connection.execute("CREATE TABLE pending_stock_operations (id int)")
    async with Database(url=empty_dsn) as database:
        with pytest.raises(SchemaError, match=r"did not make; nothing was changed.*Moving over"):
            await schema.migrate(database)
    assert (
        await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname='public'") == 1
    )
    await connection.close()


async def test_an_older_schema_says_what_to_run(outbox: Outbox, database: Database) -> None:
    newest = schema.migrations()[-1]
    await outbox.connection.execute(
        "DELETE FROM stock_sync_migrations WHERE version = $1", newest.version
    )
    with pytest.raises(SchemaError, match=rf"older .*{newest.name}.* run `stocksync migrate`"):
        await schema.verify(database)


async def test_a_newer_schema_says_what_to_install(outbox: Outbox, database: Database) -> None:
    await outbox.connection.execute("INSERT INTO stock_sync_migrations VALUES (9999, 'later', '')")
    with pytest.raises(SchemaError, match=r"newer .*9999_later.* install the newer version"):
        await schema.verify(database)


async def test_an_edited_migration_is_noticed(outbox: Outbox, database: Database) -> None:
    await outbox.connection.execute("UPDATE stock_sync_migrations SET checksum = 'x'")
    with pytest.raises(SchemaError, match="another text"):
        await schema.verify(database)


async def test_a_migration_that_fails_leaves_nothing_behind(
    empty_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = schema.Migration(version=9999, name="broken", text="SELECT 1/0")
    known = schema.migrations()
    monkeypatch.setattr(schema, "migrations", lambda: [*known, broken])
    async with Database(url=empty_dsn) as database:
        with pytest.raises(asyncpg.DivisionByZeroError):
            await schema.migrate(database)
        with pytest.raises(SchemaError, match="no tables"):
            await schema.verify(database)


async def test_foreign_keys_are_added_where_the_order_system_has_its_tables(
    outbox: Outbox, database: Database
) -> None:
    await outbox.connection.execute(
        "CREATE TABLE allegro_tokens (id_ varchar PRIMARY KEY, account_name text)"
    )
    first = {key.table: what for key, what in await schema.add_foreign_keys(database)}
    assert first["allegro_tokens"].startswith("added")
    assert first["allegro_orders"].startswith("no table")
    again = {key.table: what for key, what in await schema.add_foreign_keys(database)}
    assert again["allegro_tokens"] == "was there already"
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="token_id_is_a_known_account"):
        await outbox.insert()
    await outbox.connection.execute(
        "INSERT INTO allegro_tokens VALUES ('0a1b2c3d-0000-4000-8000-000000000001')"
    )
    await outbox.insert()


async def test_a_key_that_rows_break_is_said_in_one_line(
    outbox: Outbox, database: Database
) -> None:
    await outbox.connection.execute("CREATE TABLE allegro_tokens (id_ varchar PRIMARY KEY)")
    await outbox.insert()
    with pytest.raises(
        SchemaError, match=r"token_id_is_a_known_account .*cannot hold for all rows"
    ):
        await schema.add_foreign_keys(database)


async def test_a_key_to_something_that_is_not_unique_is_said_in_one_line(
    outbox: Outbox, database: Database
) -> None:
    await outbox.connection.execute("CREATE TABLE allegro_orders (id varchar)")
    with pytest.raises(SchemaError, match="allegro_order_id_is_a_known_order"):
        await schema.add_foreign_keys(database)


async def test_it_waits_for_a_daemon_that_claims_and_does_not_deadlock_with_it(
    empty_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon of the version before works on while the tables are brought up to date."""
    all_of_them = schema.migrations()
    claiming = await asyncpg.connect(empty_dsn)
    try:
        async with Database(url=empty_dsn) as database:
            with monkeypatch.context() as before:
                before.setattr(schema, "migrations", lambda: all_of_them[:4])
                await schema.migrate(database)
            transaction = claiming.transaction()
            await transaction.start()
            await claiming.execute(
                "SELECT * FROM stock_sync_claim(1, gen_random_uuid(), 60, '', '{}', '{}', '{}')"
            )
            migrating = asyncio.create_task(schema.migrate(database))

            async def is_waiting() -> bool:
                waiting = (
                    "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"
                )
                return bool(await claiming.fetchval(waiting))

            await until_async(is_waiting)
            # As the claim goes on: with a row, its order and the circuits.
            await claiming.execute("UPDATE pending_stock_operations SET updated_at = now()")
            await claiming.execute("UPDATE stock_sync_orders SET attempt = 0")
            await transaction.commit()
            assert len(await migrating) == len(all_of_them) - 4
    finally:
        await claiming.close()


async def test_a_long_transaction_of_the_order_system_ends_the_migration_and_stops_nobody_else(
    empty_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_of_them = schema.migrations()
    insert = (
        "INSERT INTO pending_stock_operations (token_id, order_id, sku, quantity)"
        f" VALUES ('{ACCOUNT}', 'order', 'A-1', 1)"
    )
    holding, other = await asyncpg.connect(empty_dsn), await asyncpg.connect(empty_dsn)
    try:
        async with Database(url=empty_dsn) as database:
            with monkeypatch.context() as before:
                before.setattr(schema, "migrations", lambda: all_of_them[:9])
                await schema.migrate(database)
            transaction = holding.transaction()
            await transaction.start()
            await holding.execute(insert)
            async with asyncio.timeout(30):
                with pytest.raises(DatabaseUnavailable, match="lock timeout"):
                    await schema.migrate(database)
                await other.execute(insert)
            await transaction.commit()
            assert await schema.migrate(database) == all_of_them[9:]
    finally:
        await holding.close()
        await other.close()
