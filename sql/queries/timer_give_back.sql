-- Gives back the turn $2 of the timer $1, unfinished: it is anybody's at once.
UPDATE :"schema".stock_sync_timers SET run_token = NULL, lease_until = NULL
WHERE name = $1 AND run_token = $2
