-- At most $1 ambiguous orders that may be verified now, the longest ambiguous first.
SELECT * FROM :"schema".stock_sync_to_verify($1)
