-- The outbox in numbers, and the database's time.
-- Scans the operations once (there is no index on completed_at, nor on failed rows: the order system
-- would pay for it) and the orders in need once, in parallel on a large table.
SELECT o.*, s.*, now() AS now
FROM (
    SELECT count(*) FILTER (WHERE status = 'pending') AS pending,
           count(*) FILTER (WHERE status = 'processing') AS processing,
           count(*) FILTER (WHERE status = 'completed') AS completed,
           count(*) FILTER (WHERE status = 'failed') AS failed,
           count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
           min(next_retry_at) FILTER (WHERE status = 'pending' AND next_retry_at > now()
           ) AS next_due_at,
           -- They failed before. A retry by hand forgets that.
           count(*) FILTER (WHERE status = 'pending' AND error_message IS NOT NULL) AS retrying,
           min(next_retry_at) FILTER (WHERE status = 'pending' AND error_message IS NOT NULL
           ) AS next_retry_at,
           max(completed_at) AS last_completed_at,
           count(*) FILTER (WHERE completed_at > now() - interval '5 minutes') AS completed_lately,
           (count(*) FILTER (WHERE attempts = 1 AND completed_at > now() - interval '1 day')::numeric
            / nullif(count(*) FILTER (WHERE completed_at > now() - interval '1 day'), 0)
           )::double precision AS first_try_share,
           extract(epoch FROM avg(completed_at - created_at) FILTER (
               WHERE attempts > 1 AND completed_at > now() - interval '1 day')
           )::double precision AS mean_retry_seconds
    FROM :"schema".pending_stock_operations) o
CROSS JOIN (
    SELECT count(push_due_at) AS orders_to_push_again, count(ambiguous_at) AS ambiguous_orders
    FROM :"schema".stock_sync_orders) s
