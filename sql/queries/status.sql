-- What failed, what is retried, which orders are in need, and the database's time; each found by an index of
-- its own, never by a look at what is done. What waits: waiting.sql.
WITH held AS (
    SELECT token_id FROM :"schema".stock_sync_circuits WHERE is_open OR paused_until > now())
SELECT f.failed, r.retrying, r.next_retry_at,
       (SELECT count(*) FROM :"schema".stock_sync_orders WHERE push_due_at IS NOT NULL
       ) AS orders_to_push_again,
       (SELECT count(*) FROM :"schema".stock_sync_orders WHERE ambiguous_at IS NOT NULL
       ) AS ambiguous_orders,
       now() AS now
FROM (
    SELECT count(*) AS failed
    FROM :"schema".pending_stock_operations WHERE status = 'failed') f
CROSS JOIN (
    -- They failed before (a retry by hand forgets that), and nothing holds them up.
    SELECT count(*) AS retrying, min(next_retry_at) AS next_retry_at
    FROM :"schema".pending_stock_operations o
    WHERE status = 'pending' AND error_message IS NOT NULL
      AND NOT EXISTS (SELECT FROM held WHERE held.token_id = '')
      AND NOT EXISTS (SELECT FROM held WHERE held.token_id = o.token_id)) r
