-- What the schema $1 holds: Postgres's version and encoding, whether our tables are there, and whether tables
-- of their names are; and whether we may see what sessions of other roles do.
SELECT current_setting('server_version_num')::integer AS server_version,
       current_setting('server_encoding') AS encoding,
       to_regnamespace(quote_ident($1)) IS NOT NULL AS has_schema,
       to_regclass(format('%I.stock_sync_migrations', $1)) IS NOT NULL AS is_ours,
       to_regclass(format('%I.pending_stock_operations', $1)) IS NOT NULL
           OR to_regclass(format('%I.stock_synchronization_logs', $1)) IS NOT NULL AS has_tables,
       pg_has_role('pg_read_all_stats', 'USAGE') AS sees_sessions
