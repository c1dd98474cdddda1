-- The circuits of the service and of the accounts $1, locked, always in the same order. A daemon that
-- freezes now would hold up all settling: Postgres ends its transaction after five seconds.
SELECT token_id, evidence, is_open, proven_at,
       set_config('idle_in_transaction_session_timeout', '5s', true)
FROM :"schema".stock_sync_circuits
WHERE token_id = '' OR token_id = ANY ($1::text[])
ORDER BY token_id
FOR UPDATE
