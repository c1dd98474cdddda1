-- People and programs that look: `stocksync status`, `list`, `show`, or SQL of their own.
GRANT USAGE ON SCHEMA :"schema" TO :"role";
GRANT SELECT
    ON :"schema".pending_stock_operations, :"schema".stock_synchronization_logs,
       :"schema".stock_sync_orders, :"schema".stock_sync_circuits, :"schema".stock_sync_daemons,
       :"schema".stock_sync_timers, :"schema".stock_sync_events, :"schema".stock_sync_minutes,
       :"schema".stock_sync_conditions, :"schema".stock_sync_changes, :"schema".stock_sync_telegram,
       :"schema".stock_sync_migrations
    TO :"role";

-- Since when sessions of other roles hold a snapshot (`stocksync status`, and an alert) Postgres tells only
-- members of pg_read_all_stats; they also see what those sessions run. All else works without.
DO $do$
BEGIN
    GRANT pg_read_all_stats TO :"role";
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'A superuser has to do this: %', $grant$GRANT pg_read_all_stats TO :"role"$grant$;
END
$do$;
