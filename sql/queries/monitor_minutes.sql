-- The attempts of the last $1 minutes, minute by minute.
SELECT minute, attempts, unproven
FROM :"schema".stock_sync_minutes
WHERE minute > now() - $1::integer * interval '1 minute' AND attempts > 0
ORDER BY minute
