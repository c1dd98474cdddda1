-- The daemon $1 begins with an update, and the next one is $2; it has the right to ask for $3 seconds more. Gives
-- nothing when somebody else has it: the update is theirs.
UPDATE :"schema".stock_sync_telegram
SET next_update = $2, poller_until = clock_timestamp() + $3::double precision * interval '1 second'
WHERE poller = $1
RETURNING next_update
