-- The circuits of the service and of the accounts $1, locked, always in the same order.
SELECT token_id, evidence, is_open, proven_at FROM :"schema".stock_sync_circuits
WHERE token_id = '' OR token_id = ANY ($1::text[])
ORDER BY token_id
FOR UPDATE
