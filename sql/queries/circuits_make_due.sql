-- What failed before a circuit opened waits for the circuit now, and no longer for its own retry: the
-- orders $2 of the accounts $1 are due at once. Rows that somebody holds are settled by whoever does.
WITH failed AS MATERIALIZED (
    SELECT f.token_id, f.order_id FROM unnest($1::text[], $2::text[]) f (token_id, order_id)),
rows_due AS (
    UPDATE :"schema".pending_stock_operations o
    SET next_retry_at = clock_timestamp(), updated_at = clock_timestamp()
    WHERE o.id = ANY (ARRAY(
        SELECT r.id FROM failed f CROSS JOIN LATERAL (
            SELECT p.id FROM :"schema".pending_stock_operations p
            WHERE p.order_id = f.order_id AND p.token_id = f.token_id
              AND p.status || '' = 'pending' AND p.attempts > 0
              AND p.next_retry_at > clock_timestamp()
            FOR UPDATE SKIP LOCKED) r)))
UPDATE :"schema".stock_sync_orders s SET push_due_at = clock_timestamp()
FROM failed f
WHERE s.order_id = f.order_id AND s.token_id = f.token_id AND s.push_due_at > clock_timestamp()
