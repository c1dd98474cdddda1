-- Ends the pause of the account $1 ('': of all) now; gives it, if there was one. When it ended is kept:
-- what was due long before may be claimed only since then.
UPDATE :"schema".stock_sync_circuits SET paused_until = clock_timestamp()
WHERE token_id = $1 AND paused_until > clock_timestamp()
RETURNING token_id
