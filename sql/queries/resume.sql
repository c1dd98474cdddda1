-- Ends the pause of the account $1 ('': of all); gives it, if there was one.
UPDATE :"schema".stock_sync_circuits SET paused_until = NULL, paused_by = NULL
WHERE token_id = $1 AND paused_until > clock_timestamp()
RETURNING token_id
