-- Remembers the condition of the kind $1 and the account $2: since $3, told at $4, ended at $5 (NULL: it
-- lasts), and its details $6.
INSERT INTO :"schema".stock_sync_conditions AS c
    (kind, token_id, since, told_at, ended_at, details)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (kind, token_id) DO UPDATE
SET since = excluded.since, told_at = excluded.told_at, ended_at = excluded.ended_at,
    details = excluded.details
