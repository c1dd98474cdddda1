-- Gives back what was claimed and never begun: no attempt, no trace, due as before. A row that
-- somebody else has locked is left to its lease.
-- $1 ids, $2 claim tokens; orders claimed themselves: $3 tokens, $4 ids, $5 claim tokens, $6 whether
-- they are to be pushed for their own sake.
-- $7 the accounts of which one was to be a probe ('': of the service): another may be it at once.
WITH released AS (
    UPDATE :"schema".pending_stock_operations o
    SET status = 'pending', updated_at = clock_timestamp(),
        claim_token = NULL, claim_no = NULL, lease_until = NULL
    WHERE o.id = ANY (ARRAY(
        SELECT r.id FROM :"schema".pending_stock_operations r
        WHERE r.id = ANY ($1::uuid[]) AND r.claim_token = ANY ($2::uuid[])
        FOR UPDATE SKIP LOCKED))),
probes_ended AS (
    UPDATE :"schema".stock_sync_circuits c SET probe_until = NULL
    WHERE c.token_id = ANY ($7::text[]))
UPDATE :"schema".stock_sync_orders s
SET claim_token = NULL, lease_until = NULL,
    push_due_at = CASE WHEN r.is_wanted THEN clock_timestamp() ELSE s.push_due_at END
FROM unnest($3::text[], $4::text[], $5::uuid[], $6::boolean[])
    r (token_id, order_id, claim_token, is_wanted)
WHERE s.order_id = r.order_id AND s.token_id = r.token_id AND s.claim_token = r.claim_token
