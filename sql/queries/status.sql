-- What is not done, in numbers, and the database's time; $1: so many hours after its insert a row is
-- stale, if it was tried or its time has come.
-- Looks at what waits, what is in flight, what failed and which orders are in need, each by an index of
-- its own; never at what is done.
SELECT p.pending, i.processing, f.failed, p.stale + i.stale AS stale, p.next_due_at,
       r.retrying, r.next_retry_at,
       (SELECT count(*) FROM :"schema".stock_sync_orders WHERE push_due_at IS NOT NULL
       ) AS orders_to_push_again,
       (SELECT count(*) FROM :"schema".stock_sync_orders WHERE ambiguous_at IS NOT NULL
       ) AS ambiguous_orders,
       now() AS now
FROM (
    SELECT count(*) AS pending,
           min(next_retry_at) FILTER (WHERE next_retry_at > now()) AS next_due_at,
           count(*) FILTER (WHERE created_at < now() - $1::integer * interval '1 hour'
                              AND (attempts > 0 OR next_retry_at <= now())) AS stale
    FROM :"schema".pending_stock_operations WHERE status = 'pending') p
CROSS JOIN (
    SELECT count(*) AS processing,
           count(*) FILTER (WHERE created_at < now() - $1::integer * interval '1 hour') AS stale
    FROM :"schema".pending_stock_operations WHERE status = 'processing') i
CROSS JOIN (
    SELECT count(*) AS failed
    FROM :"schema".pending_stock_operations WHERE status = 'failed') f
CROSS JOIN (
    -- They failed before. A retry by hand forgets that.
    SELECT count(*) AS retrying, min(next_retry_at) AS next_retry_at
    FROM :"schema".pending_stock_operations
    WHERE status = 'pending' AND error_message IS NOT NULL) r
