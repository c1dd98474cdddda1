-- Notes in the present minute what the monitor saw: $1 rows waiting, the oldest that may be claimed for
-- $2 seconds (NULL: none may), $3 discrepancies found and $4 of them repaired since its last turn.
INSERT INTO :"schema".stock_sync_minutes AS m
    (minute, due_rows, oldest_due_seconds, discrepancies_found, discrepancies_repaired)
VALUES (date_trunc('minute', clock_timestamp()), $1, $2, $3, $4)
ON CONFLICT (minute) DO UPDATE
SET due_rows = greatest(m.due_rows, excluded.due_rows),
    oldest_due_seconds = greatest(m.oldest_due_seconds, excluded.oldest_due_seconds),
    discrepancies_found = m.discrepancies_found + excluded.discrepancies_found,
    discrepancies_repaired = m.discrepancies_repaired + excluded.discrepancies_repaired
