-- Which rights on our tables in the schema $1 this role lacks to do the daemon's work.
SELECT current_user AS role, needed.name, needed."right"
FROM (SELECT c.oid, c.relname AS name, r."right"
      FROM pg_class c
      JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = $1
      CROSS JOIN (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE')) r ("right")
      WHERE c.relkind = 'r'
        AND (c.relname IN ('pending_stock_operations', 'stock_synchronization_logs')
             OR c.relname LIKE 'stock\_sync\_%')
        -- Who migrates writes this one.
        AND NOT (c.relname = 'stock_sync_migrations' AND r."right" <> 'SELECT')) needed
WHERE NOT has_table_privilege(needed.oid, needed."right")
ORDER BY needed.name, needed."right"
