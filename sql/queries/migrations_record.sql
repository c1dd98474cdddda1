-- Notes the migration $1 (version), $2 (name), $3 (checksum of its text) as applied.
INSERT INTO :"schema".stock_sync_migrations (version, name, checksum) VALUES ($1, $2, $3)
