"""Grants: each role can do what it is for, and nothing else, on a real database."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest

from stocksync.cli import main
from stocksync.database import Database
from stocksync.grants import grants
from stocksync.metrics.families import of_standing
from stocksync.operations import Operations
from stocksync.statements import query
from tests.daemons import running_daemon
from tests.outbox import ACCOUNT, Outbox
from tests.relaying import until_all
from tests.service import TOKEN_ID, running_stand_in
from tests.test_operations import LIMITS

COLUMNS = (
    "id, token_id, order_id, allegro_order_id, operation_type, sku, quantity, warehouse,"
    " max_retries, next_retry_at"
)
AGE = "stocksync_oldest_snapshot_age_seconds"
STATS = "pg_read_all_stats"


@asynccontextmanager
async def granted(dsn: str) -> AsyncIterator[dict[str, str]]:
    """Roles with the printed GRANTs, and a DSN for each."""
    suffix = uuid4().hex[:12]
    roles = {part: f'{part} "{suffix}' for part in ("producer", "daemon", "reader")}
    owner = await asyncpg.connect(dsn)
    try:
        for role in roles.values():
            await owner.execute(f"CREATE ROLE {_quoted(role)} LOGIN")
        text = grants(
            {
                "producer": roles["producer"],
                "daemon": roles["daemon"],
                "reader": roles["reader"],
            },
            schema="public",
        )
        await owner.execute(text)
        await owner.execute(text)  # twice is a no-op
        yield {part: _as(dsn, role) for part, role in roles.items()}
    finally:
        for role in roles.values():
            await owner.execute(f"DROP OWNED BY {_quoted(role)}")
            await owner.execute(f"DROP ROLE {_quoted(role)}")
        await owner.close()


def _quoted(role: str) -> str:
    return '"' + role.replace('"', '""') + '"'


def _as(dsn: str, role: str) -> str:
    parts = urlsplit(dsn)
    host = parts.netloc.rpartition("@")[2]
    escaped = role.replace('"', "%22").replace(" ", "%20")
    return urlunsplit(parts._replace(netloc=f"{escaped}@{host}"))


async def test_the_producer_can_insert_a_row_and_nothing_else(dsn: str) -> None:
    async with granted(dsn) as dsns:
        producer = await asyncpg.connect(dsns["producer"])
        try:
            statement = (
                f"INSERT INTO pending_stock_operations ({COLUMNS})"
                " VALUES ($1, $2, 'order', 'a', 'deduction', 'sku', 1, 'w', 3, now())"
                " ON CONFLICT (id) DO NOTHING RETURNING id"
            )
            own_id = uuid4()
            assert await producer.fetchval(statement, own_id, ACCOUNT) == own_id
            assert await producer.fetchval(statement, own_id, ACCOUNT) is None
            for refused in (
                "SELECT status FROM pending_stock_operations",
                "SELECT * FROM stock_synchronization_logs",
                "SELECT * FROM stock_sync_orders",
                "UPDATE pending_stock_operations SET quantity = 2",
                "DELETE FROM pending_stock_operations",
                "TRUNCATE pending_stock_operations",
                (
                    "INSERT INTO pending_stock_operations (token_id, order_id, sku, quantity,"
                    f" claim_token) VALUES ('{ACCOUNT}', 'o', 's', 1, gen_random_uuid())"
                ),
                (
                    "INSERT INTO pending_stock_operations"
                    " (token_id, order_id, sku, quantity, status)"
                    f" VALUES ('{ACCOUNT}', 'o', 's', 1, 'pending')"
                ),
                "INSERT INTO stock_sync_events (kind) VALUES ('failed')",
                "SELECT * FROM stock_sync_claim(1, gen_random_uuid(), 60, '', '{}', '{}', '{}')",
                "CREATE TABLE mine ()" if await _cannot_create(producer) else "DROP SCHEMA public",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await producer.execute(refused)
        finally:
            await producer.close()


async def _cannot_create(connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
    """Before Postgres 15 everybody may create tables in the schema public."""
    return not await connection.fetchval("SELECT has_schema_privilege('public', 'CREATE')")


async def test_the_reader_only_reads(dsn: str, outbox: Outbox) -> None:
    await outbox.insert()
    async with granted(dsn) as dsns:
        reader = await asyncpg.connect(dsns["reader"])
        try:
            tables = await reader.fetch(
                "SELECT format('%I', tablename) AS name FROM pg_tables WHERE schemaname = 'public'"
            )
            for table in tables:
                await reader.execute(f"SELECT * FROM {table['name']}")
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await reader.execute(f"DELETE FROM {table['name']}")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await reader.execute("UPDATE pending_stock_operations SET quantity = 2")
        finally:
            await reader.close()


async def test_the_daemon_does_its_work_under_its_role_and_no_ddl(dsn: str, outbox: Outbox) -> None:
    await outbox.insert(token_id=TOKEN_ID)
    async with granted(dsn) as dsns, running_stand_in() as stand_in:
        with running_daemon(dsns["daemon"], stand_in.url) as daemon:
            await until_all(outbox, "completed")
            daemon.process.terminate()
            assert await daemon.exit_code() == 0, daemon.log()
        working = await asyncpg.connect(dsns["daemon"])
        try:
            for refused in (
                "DROP TABLE pending_stock_operations",
                "ALTER TABLE pending_stock_operations ADD COLUMN mine integer",
                "TRUNCATE pending_stock_operations",
                "INSERT INTO stock_sync_migrations VALUES (99, 'mine', 'x')",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await working.execute(refused)
        finally:
            await working.close()


async def test_each_role_can_do_what_the_commands_for_it_do(
    dsn: str,
    outbox: Outbox,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    row_id = await outbox.insert(token_id=TOKEN_ID)

    async def ran(dsn: str, *argv: str) -> int:
        monkeypatch.setenv("STOCK_SYNC_DATABASE_URL", dsn)
        code = await _in_a_thread(lambda: main(list(argv)))
        capsys.readouterr()
        return code

    async with granted(dsn) as dsns:
        for argv in (("status",), ("list",), ("show", str(row_id)), ("show", "--order", "order")):
            assert await ran(dsns["reader"], *argv) == 0
        assert await ran(dsns["reader"], "retry", str(row_id)) == 78
        for argv in (("retry", str(row_id)), ("pause",), ("resume",), ("cancel", str(row_id))):
            assert await ran(dsns["daemon"], *argv) == 0
        assert await ran(dsns["producer"], "status") == 78


@asynccontextmanager
async def holding_a_snapshot(dsn: str) -> AsyncIterator[int]:
    """A session that holds one; gives its pid."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction(isolation="repeatable_read"):
            await connection.fetch("SELECT id FROM pending_stock_operations")
            yield connection.get_server_pid()
    finally:
        await connection.close()


@pytest.mark.parametrize("part", ["daemon", "reader"])
async def test_who_holds_a_snapshot_is_seen_whatever_role_it_has(dsn: str, part: str) -> None:
    async with granted(dsn) as dsns, holding_a_snapshot(dsns["producer"]) as pid:
        looking = await asyncpg.connect(dsns[part])
        try:
            text = query("oldest_snapshot", "public").replace("1 minute", "0 seconds")
            [seen] = await looking.fetch(text)
        finally:
            await looking.close()
        assert seen["pid"] == pid
        assert 0 < seen["age_seconds"] < 60
        assert not seen["is_hidden"]


async def test_since_when_a_snapshot_is_held_is_not_told_where_it_cannot_be_known(
    dsn: str, outbox: Outbox
) -> None:
    async with granted(dsn) as dsns, Database(url=dsns["daemon"]) as database:
        async with database.connection() as connection:
            name = await connection.fetchval("SELECT current_user")
        await outbox.connection.execute(f"REVOKE pg_read_all_stats FROM {_quoted(name)}")
        async with holding_a_snapshot(dsns["producer"]):
            standing = await Operations(database=database).status(limits=LIMITS)
            assert (standing.oldest_snapshot, standing.is_snapshot_hidden) == (None, True)
            assert AGE not in {family.name for family in of_standing(standing)}
        standing = await Operations(database=database).status(limits=LIMITS)
        [age] = [family for family in of_standing(standing) if family.name == AGE]
        assert age.samples[0].value == 0


async def test_an_owner_that_is_no_superuser_grants_all_the_rest_and_says_what_is_left(
    outbox: Outbox,
) -> None:
    owner, daemon = (f"{name}_{uuid4().hex[:12]}" for name in ("owner", "daemon"))
    connection = outbox.connection
    said: list[str] = []
    connection.add_log_listener(lambda _, message: said.append(str(message.message)))
    try:
        await connection.execute(f"CREATE ROLE {owner}; CREATE ROLE {daemon}")
        for table in await connection.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        ):
            await connection.execute(f"ALTER TABLE {table['tablename']} OWNER TO {owner}")
        await connection.execute(f"ALTER SCHEMA public OWNER TO {owner}; SET ROLE {owner}")
        await connection.execute(grants({"daemon": daemon}, schema="public"))
        await connection.execute("RESET ROLE")
        may = "SELECT has_table_privilege($1, 'pending_stock_operations', 'DELETE')"
        assert await connection.fetchval(may, daemon)
        assert not await connection.fetchval("SELECT pg_has_role($1, $2, 'USAGE')", daemon, STATS)
        assert said == [f'A superuser has to do this: GRANT {STATS} TO "{daemon}"']
    finally:
        await connection.execute("RESET ROLE")
        await connection.execute(f"REASSIGN OWNED BY {owner} TO CURRENT_USER")
        for role in (daemon, owner):
            await connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def _in_a_thread(call: Callable[[], int]) -> int:
    """A command has an event loop of its own."""
    return await asyncio.get_running_loop().run_in_executor(None, call)


def test_the_command_prints_what_was_asked_for_and_touches_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STOCK_SYNC_DATABASE_SCHEMA", "stock")
    assert main(["grants", "--reader", "grafana"]) == 0
    printed = capsys.readouterr().out
    assert '"stock".stock_sync_migrations TO "grafana"' in printed.replace("\n", " ").replace(
        "    ", ""
    )
    assert "INSERT" not in printed


def test_without_a_role_there_is_nothing_to_print() -> None:
    with pytest.raises(SystemExit) as ended:
        main(["grants"])
    assert ended.value.code == 2


async def test_every_table_is_granted_to_who_works_with_it(outbox: Outbox) -> None:
    tables = await outbox.connection.fetch(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    )
    for part in ("daemon", "reader"):
        printed = grants({part: "somebody"}, schema="public")
        for table in tables:
            assert f'"public".{table["tablename"]}' in printed
