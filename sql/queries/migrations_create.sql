-- The list of applied migrations, which also says "these tables are ours".
CREATE TABLE :"schema".stock_sync_migrations (
    version    integer     PRIMARY KEY,
    name       text        NOT NULL,
    checksum   text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
