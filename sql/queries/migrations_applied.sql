-- The migrations that were applied, oldest first.
SELECT version, name, checksum FROM :"schema".stock_sync_migrations ORDER BY version
