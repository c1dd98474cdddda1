-- The right to ask Telegram for updates, for the daemon $1, for $2 seconds: given when nobody else has it, or had it
-- and died. Gives the number of the next update.
UPDATE :"schema".stock_sync_telegram
SET poller = $1, poller_until = clock_timestamp() + $2::double precision * interval '1 second'
WHERE poller IS NULL OR poller = $1 OR poller_until < clock_timestamp()
RETURNING next_update
