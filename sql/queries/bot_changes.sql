-- The changes $1, as they were told.
SELECT id, at, kind, phase, token_id, facts
FROM :"schema".stock_sync_changes WHERE id = ANY ($1::bigint[]) ORDER BY id
