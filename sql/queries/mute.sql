-- No messages for $1 minutes from now, at the wish of $2; a mute that lasts already is replaced.
UPDATE :"schema".stock_sync_telegram
SET muted_until = clock_timestamp() + $1::integer * interval '1 minute', muted_by = $2
RETURNING muted_until
