-- Lengthens the lease of the turn $2 of the timer $1 to $3 seconds from now; gives the name if it is still
-- held.
UPDATE :"schema".stock_sync_timers
SET lease_until = now() + $3::double precision * interval '1 second'
WHERE name = $1 AND run_token = $2
RETURNING name
