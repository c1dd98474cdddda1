-- No messages for $1 minutes from now, at the wish of $2; gives until when. Gives nothing when a mute lasts about as
-- long already: pressed twice.
UPDATE :"schema".stock_sync_telegram
SET muted_until = clock_timestamp() + $1::integer * interval '1 minute', muted_by = $2
WHERE coalesce(muted_until, '-infinity') < clock_timestamp() + ($1::integer - 1) * interval '1 minute'
RETURNING muted_until
