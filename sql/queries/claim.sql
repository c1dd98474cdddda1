-- Claims due orders: at most $1 of them, under the claim token $2, for $3 seconds; accounts in turn
-- from $4 on, or only the accounts $5 from the places $6 (next_retry_at) and $7 (seq) on.
SELECT * FROM :"schema".stock_sync_claim($1, $2, $3, $4, $5, $6, $7)
