-- The order $1, of the account $2 or (NULL) of every account that knows it: its balance, what the
-- daemon keeps of it, until when it is in flight, when its next row is due, whether rows failed, the last
-- attempt to push it as the log has it, how often reconciling repaired it and when it last found it wrong,
-- and the database's time.
SELECT f.token_id, b.balance, coalesce(s.balance, 0) AS carried_balance,
       s.push_due_at, coalesce(s.attempt, 0) AS attempt, s.ambiguous_at,
       s.claim_token IS NOT NULL AS is_order_claimed,
       greatest(s.lease_until, r.lease_until) AS lease_until, r.next_row_due_at, r.has_failed,
       l.action AS last_action, l."timestamp" AS last_at, l.details AS last_details,
       l.execution_time_ms AS last_duration_ms,
       coalesce(s.repairs, 0) AS repairs,
       c."timestamp" AS reconciled_at, c.details AS reconciled_details,
       now() AS now
FROM (SELECT o.token_id FROM :"schema".pending_stock_operations o
      WHERE o.order_id = $1 AND ($2::text IS NULL OR o.token_id = $2)
      UNION
      SELECT s.token_id FROM :"schema".stock_sync_orders s
      WHERE s.order_id = $1 AND ($2::text IS NULL OR s.token_id = $2)) f
CROSS JOIN LATERAL :"schema".stock_sync_order(f.token_id, $1) b
CROSS JOIN LATERAL (
    SELECT max(o.lease_until) AS lease_until,
           min(o.next_retry_at) FILTER (WHERE o.status = 'pending') AS next_row_due_at,
           coalesce(bool_or(o.status = 'failed'), false) AS has_failed
    FROM :"schema".pending_stock_operations o
    WHERE o.order_id = $1 AND o.token_id = f.token_id) r
LEFT JOIN LATERAL (
    SELECT l.action, l."timestamp", l.details, l.execution_time_ms
    FROM :"schema".pending_stock_operations o
    JOIN :"schema".stock_synchronization_logs l ON l.operation_id = o.id
    WHERE o.order_id = $1 AND o.token_id = f.token_id
      AND l.action IN ('completed', 'retry', 'failed', 'pushed_again', 'push_again_failed',
                       'interrupted', 'lease_expired')
    -- + 0: from the order's few rows, not by walking backwards through the log of all orders.
    ORDER BY l.id + 0 DESC LIMIT 1) l ON true
LEFT JOIN LATERAL (
    SELECT l."timestamp", l.details
    FROM :"schema".pending_stock_operations o
    JOIN :"schema".stock_synchronization_logs l ON l.operation_id = o.id
    WHERE o.order_id = $1 AND o.token_id = f.token_id
      AND l.action IN ('reconciled', 'discrepancy')
    ORDER BY l.id + 0 DESC LIMIT 1) c ON true
LEFT JOIN :"schema".stock_sync_orders s ON s.order_id = $1 AND s.token_id = f.token_id
ORDER BY f.token_id
