-- Lengthens leases to $6 seconds from now; gives the orders that are still held, and by which claim: one
-- that was lost may stand beside a newer one of the same order.
-- Rows: $1 ids, $2 claim tokens; orders claimed themselves: $3 tokens, $4 ids, $5 claim tokens.
WITH lease AS MATERIALIZED (
    SELECT clock_timestamp() + $6::double precision * interval '1 second' AS until),
renewed_rows AS (
    UPDATE :"schema".pending_stock_operations o
    SET lease_until = (SELECT until FROM lease)
    -- A row that somebody else has locked is passed over: nobody can rescue it either.
    WHERE o.id = ANY (ARRAY(
        SELECT r.id FROM :"schema".pending_stock_operations r
        WHERE r.id = ANY ($1::uuid[]) AND r.claim_token = ANY ($2::uuid[])
        FOR UPDATE SKIP LOCKED))
    RETURNING o.token_id, o.order_id, o.claim_token),
renewed_orders AS (
    UPDATE :"schema".stock_sync_orders s
    SET lease_until = (SELECT until FROM lease)
    FROM unnest($3::text[], $4::text[], $5::uuid[]) r (token_id, order_id, claim_token)
    WHERE s.order_id = r.order_id AND s.token_id = r.token_id AND s.claim_token = r.claim_token
    RETURNING s.token_id, s.order_id, s.claim_token)
SELECT token_id, order_id, claim_token FROM renewed_rows
UNION
SELECT o.token_id, o.order_id, o.claim_token FROM :"schema".pending_stock_operations o
WHERE o.id = ANY ($1::uuid[]) AND o.claim_token = ANY ($2::uuid[])
UNION
SELECT token_id, order_id, claim_token FROM renewed_orders
