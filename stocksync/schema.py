"""The tables: applies the migrations of `sql/migrations/`, and verifies what a database holds."""

import hashlib
from dataclasses import dataclass

from stocksync.database import KEY_REFUSED, Connection, Database, Record, describe
from stocksync.model import ForeignTables, SchemaError
from stocksync.statements import qualified, sql_directory

OLDEST_POSTGRES = 140000
# Index builds on a full table take their time; a migration is watched by whoever runs it.
MIGRATION_SECONDS = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One file of `sql/migrations/`."""

    version: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """Of the text as landed: a migration is never edited afterwards."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignKey:
    """A key to a table of the order system, for `migrate --with-foreign-keys`."""

    name: str
    column: str
    table: str
    target_column: str


FOREIGN_KEYS = (
    ForeignKey(
        name="token_id_is_a_known_account",
        column="token_id",
        table="allegro_tokens",
        target_column="id_",
    ),
    ForeignKey(
        name="allegro_order_id_is_a_known_order",
        column="allegro_order_id",
        table="allegro_orders",
        target_column="id",
    ),
)


def migrations() -> list[Migration]:
    """All migrations this version knows, oldest first."""
    files = sorted((sql_directory() / "migrations").glob("[0-9]*.sql"))
    return [
        Migration(version=int(f.stem[:4]), name=f.stem[5:], text=f.read_text("utf-8"))
        for f in files
    ]


async def migrate(database: Database, *, is_dry_run: bool = False) -> list[Migration]:
    """Apply what is missing, all or nothing, one run at a time; gives what was or would be applied.

    Raises `SchemaError` for tables that are not ours, newer than this version, or edited.
    """
    async with (
        database.connection() as connection,
        connection.transaction(isolation="read_committed"),
    ):
        if not is_dry_run:
            await connection.execute(
                database.query("migrations_lock"), database.schema, timeout=MIGRATION_SECONDS
            )
        missing = await _missing(connection, database)
        if is_dry_run or not missing:
            return missing
        if missing[0].version == 1:
            # Only when it is not there: creating it needs a permission that using it does not.
            if not (await _state(connection, database))["has_schema"]:
                await connection.execute(qualified('CREATE SCHEMA :"schema"', database.schema))
            await connection.execute(database.query("migrations_create"))
        await connection.execute(database.query("migrations_patience"))
        for migration in missing:
            await connection.execute(
                database.query("migrations_record"),
                migration.version,
                migration.name,
                migration.checksum,
            )
            await connection.execute(
                qualified(migration.text, database.schema), timeout=MIGRATION_SECONDS
            )
        return missing


async def verify(database: Database) -> None:
    """Raise `SchemaError`, saying what to run, unless the tables are what this version knows."""
    async with database.connection() as connection:
        missing = await _missing(connection, database)
    if missing and missing[0].version == 1:
        raise SchemaError(
            f"there are no tables in the schema {database.schema!r} yet: run `stocksync migrate`"
        )
    if missing:
        raise SchemaError(
            f"the tables in the schema {database.schema!r} are older than this stocksync "
            f"(they lack {missing[0].version:04}_{missing[0].name}): run `stocksync migrate`"
        )


async def add_foreign_keys(
    database: Database, *, is_dry_run: bool = False
) -> list[tuple[ForeignKey, str]]:
    """Add the keys to the order system's tables; gives what became, or would become, of each.

    First not validated, under a short lock, then validated without holding up anybody's INSERT.
    Raises `SchemaError` when rows are there already that break a key: it holds for new ones then.
    """
    return [
        (key, await _add_foreign_key(database, key, is_dry_run=is_dry_run)) for key in FOREIGN_KEYS
    ]


async def _add_foreign_key(database: Database, key: ForeignKey, *, is_dry_run: bool) -> str:
    async with database.connection() as connection:
        row = await connection.fetchrow(
            database.query("foreign_key_target"), key.table, database.schema, key.name
        )
        if row is None or row["target"] is None:
            return f"no table {key.table}: nothing to refer to"
        if row["is_there"]:
            return "was there already"
        what = f"{key.column} refers to {row['target']} ({key.target_column})"
        if is_dry_run:
            return f"would add: {what}"
        table = qualified('ALTER TABLE :"schema".pending_stock_operations', database.schema)
        try:
            await connection.execute(
                f"{table} ADD CONSTRAINT {key.name} FOREIGN KEY ({key.column}) "
                f"REFERENCES {row['target']} ({key.target_column}) NOT VALID"
            )
            await connection.execute(
                f"{table} VALIDATE CONSTRAINT {key.name}", timeout=MIGRATION_SECONDS
            )
        except KEY_REFUSED as error:
            raise SchemaError(
                f"the key {key.name} to {row['target']} ({key.target_column}) cannot hold for all "
                f"rows: {describe(error)}"
            ) from error
        return f"added: {what}"


async def _missing(connection: Connection, database: Database) -> list[Migration]:
    state = await _state(connection, database)
    if state["server_version"] < OLDEST_POSTGRES:
        raise SchemaError(
            f"Postgres {state['server_version'] // 10000} is too old: 14 or newer is needed"
        )
    if state["encoding"] != "UTF8":
        raise SchemaError(
            f"the database's encoding is {state['encoding']}: order ids need UTF8. Make another "
            "one: `createdb -T template0 -E UTF8 NAME`"
        )
    known = migrations()
    if not state["is_ours"]:
        if state["has_tables"]:
            raise ForeignTables(
                f"the schema {database.schema!r} already has tables of the outbox's names that "
                "stocksync did not make; nothing was changed. Set STOCK_SYNC_DATABASE_SCHEMA to "
                'another schema, and see the README, "Moving over"'
            )
        return known
    return _verified(known, await connection.fetch(database.query("migrations_applied")), database)


def _verified(known: list[Migration], applied: list[Record], database: Database) -> list[Migration]:
    by_version = {m.version: m for m in known}
    for row in applied:
        migration = by_version.get(row["version"])
        if migration is None:
            raise SchemaError(
                f"the tables in the schema {database.schema!r} are newer than this stocksync (it "
                f"does not know {row['version']:04}_{row['name']}): install the newer version here"
            )
        if migration.checksum != row["checksum"]:
            raise SchemaError(
                f"the migration {row['version']:04}_{row['name']} was applied with another text "
                "than this stocksync has: compare the two versions before going on"
            )
    done = {row["version"] for row in applied}
    return [m for m in known if m.version not in done]


async def _state(connection: Connection, database: Database) -> Record:
    row = await connection.fetchrow(database.query("schema_state"), database.schema)
    assert row is not None  # noqa: S101 - a SELECT without FROM has a row
    return row
