-- What is due, by what holds it up: a row for each account that is parked or paused, one for the
-- service ('') when its circuit is open or all is paused, one for what may be claimed (NULL). Each row
-- and order counts once, its account's circuit before the service's.
-- Due: pending rows whose time has come, rows whose lease ran out, orders to be pushed again.
-- claimable_since: due, and the last pause over.
SELECT CASE WHEN a.is_held THEN d.token_id WHEN s.is_held THEN '' END AS held_by,
       sum(d.row_count)::bigint AS row_count, sum(d.order_count)::bigint AS order_count,
       min(d.due_at) AS oldest_due_at,
       min(greatest(d.due_at, a.paused_until, s.paused_until)) AS claimable_since
FROM (
    SELECT token_id, sum(row_count) AS row_count, sum(order_count) AS order_count,
           min(due_at) AS due_at
    FROM (
        SELECT token_id, count(*) AS row_count, 0 AS order_count, min(next_retry_at) AS due_at
        FROM :"schema".pending_stock_operations
        WHERE status = 'pending' AND next_retry_at <= now()
        GROUP BY token_id
        UNION ALL
        SELECT token_id, count(*), 0, min(lease_until)
        FROM :"schema".pending_stock_operations
        WHERE status = 'processing' AND lease_until < now()
        GROUP BY token_id
        UNION ALL
        SELECT token_id, 0, count(*), min(push_due_at)
        FROM :"schema".stock_sync_orders
        WHERE push_due_at <= now() AND claim_token IS NULL
        GROUP BY token_id) kind
    GROUP BY token_id) d
CROSS JOIN (
    SELECT is_open OR coalesce(paused_until > now(), false) AS is_held, paused_until
    FROM :"schema".stock_sync_circuits WHERE token_id = '') s
LEFT JOIN (
    SELECT token_id, is_open OR coalesce(paused_until > now(), false) AS is_held, paused_until
    FROM :"schema".stock_sync_circuits) a ON a.token_id = d.token_id
GROUP BY held_by
