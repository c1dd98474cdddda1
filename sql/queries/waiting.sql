-- What is not done, by what holds it up: a row for each account that is parked or paused, one for the
-- service ('') when its circuit is open or all is paused, one for what may be claimed (NULL). Each row
-- and order counts once, its account's circuit before the service's.
-- Due: pending rows whose time has come, rows whose lease ran out, orders to be pushed again.
-- Retrying: pending rows that failed before (a retry by hand forgets that), and when the first comes due.
-- claimable_since: due, and the last pause over. Stale: not done $1 hours after its insert, if it was tried
-- or its time has come; stale_accounts: by account.
SELECT CASE WHEN a.is_held THEN u.token_id WHEN s.is_held THEN '' END AS held_by,
       sum(u.pending)::bigint AS pending, sum(u.processing)::bigint AS processing,
       sum(u.retrying)::bigint AS retrying, min(u.next_retry_at) AS next_retry_at,
       sum(u.stale)::bigint AS stale,
       coalesce(jsonb_object_agg(u.token_id, u.stale) FILTER (WHERE u.stale > 0), '{}') AS stale_accounts,
       min(u.next_due_at) AS next_due_at,
       sum(u.row_count)::bigint AS row_count, sum(u.order_count)::bigint AS order_count,
       min(u.due_at) AS oldest_due_at,
       min(greatest(u.due_at, a.paused_until, s.paused_until)) FILTER (WHERE u.due_at IS NOT NULL)
           AS claimable_since
FROM (
    SELECT token_id, sum(pending) AS pending, sum(processing) AS processing,
           sum(retrying) AS retrying, min(next_retry_at) AS next_retry_at, sum(stale) AS stale,
           min(next_due_at) AS next_due_at, sum(row_count) AS row_count,
           sum(order_count) AS order_count, min(due_at) AS due_at
    FROM (
        -- || '': a single pass over what waits, in the order in which it lies there. By the index, which
        -- gives the accounts in order, each page would be read once for every row on it.
        SELECT token_id || '' AS token_id, count(*) AS pending, 0 AS processing,
               count(*) FILTER (WHERE error_message IS NOT NULL) AS retrying,
               min(next_retry_at) FILTER (WHERE error_message IS NOT NULL) AS next_retry_at,
               count(*) FILTER (WHERE created_at < now() - $1::integer * interval '1 hour'
                                  AND (attempts > 0 OR next_retry_at <= now())) AS stale,
               min(next_retry_at) FILTER (WHERE next_retry_at > now()) AS next_due_at,
               count(*) FILTER (WHERE next_retry_at <= now()) AS row_count, 0 AS order_count,
               min(next_retry_at) FILTER (WHERE next_retry_at <= now()) AS due_at
        FROM :"schema".pending_stock_operations
        WHERE status = 'pending'
        GROUP BY token_id || ''
        UNION ALL
        SELECT token_id, 0, count(*), 0, NULL,
               count(*) FILTER (WHERE created_at < now() - $1::integer * interval '1 hour'), NULL,
               count(*) FILTER (WHERE lease_until < now()), 0,
               min(lease_until) FILTER (WHERE lease_until < now())
        FROM :"schema".pending_stock_operations
        WHERE status = 'processing'
        GROUP BY token_id
        UNION ALL
        SELECT token_id, 0, 0, 0, NULL, 0, NULL, 0, count(*), min(push_due_at)
        FROM :"schema".stock_sync_orders
        WHERE push_due_at <= now() AND claim_token IS NULL
        GROUP BY token_id) kind
    GROUP BY token_id) u
CROSS JOIN (
    SELECT is_open OR coalesce(paused_until > now(), false) AS is_held, paused_until
    FROM :"schema".stock_sync_circuits WHERE token_id = '') s
LEFT JOIN (
    SELECT token_id, is_open OR coalesce(paused_until > now(), false) AS is_held, paused_until
    FROM :"schema".stock_sync_circuits) a ON a.token_id = u.token_id
GROUP BY held_by
