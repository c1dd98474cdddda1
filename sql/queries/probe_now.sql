-- The parked account $1 is due for a probe now; gives nothing when it is not parked.
UPDATE :"schema".stock_sync_circuits SET probe_at = clock_timestamp()
WHERE token_id = $1 AND token_id <> '' AND is_open
RETURNING token_id
