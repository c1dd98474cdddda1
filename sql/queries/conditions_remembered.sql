-- The conditions as they are remembered.
SELECT kind, token_id, since, told_at, ended_at, details
FROM :"schema".stock_sync_conditions
ORDER BY kind, token_id
