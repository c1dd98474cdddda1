-- Forgets the timer $1.
DELETE FROM :"schema".stock_sync_timers WHERE name = $1
