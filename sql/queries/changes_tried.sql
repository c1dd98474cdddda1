-- Telling the changes $1 failed: what piles up now is told together.
UPDATE :"schema".stock_sync_changes SET tries = tries + 1 WHERE id = ANY($1::bigint[])
