-- Nothing of the account $1 ('': of all) is claimed for $2 minutes from now, at the wish of $3; a pause that
-- lasts already is replaced.
INSERT INTO :"schema".stock_sync_circuits AS c (token_id, paused_until, paused_by)
VALUES ($1, clock_timestamp() + $2::integer * interval '1 minute', $3)
ON CONFLICT (token_id) DO UPDATE
SET paused_until = excluded.paused_until, paused_by = excluded.paused_by
RETURNING paused_until
