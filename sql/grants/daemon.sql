-- The daemon, and the people who retry, cancel, pause and mute by hand: they change rows, and no table.
GRANT USAGE ON SCHEMA :"schema" TO :"role";
GRANT SELECT, INSERT, UPDATE, DELETE
    ON :"schema".pending_stock_operations, :"schema".stock_synchronization_logs,
       :"schema".stock_sync_orders, :"schema".stock_sync_circuits, :"schema".stock_sync_daemons,
       :"schema".stock_sync_timers, :"schema".stock_sync_events, :"schema".stock_sync_minutes,
       :"schema".stock_sync_conditions, :"schema".stock_sync_changes, :"schema".stock_sync_telegram
    TO :"role";
GRANT SELECT ON :"schema".stock_sync_migrations TO :"role";
