-- Rows, pending or in flight, of the accounts $2 that were due at $3 (for each of them), by the kinds $1 and
-- accounts. For '' instead of an account: of all accounts that are neither parked nor paused; those that
-- were parked when the service's circuit opened, two minutes before it or later, wait for the service.
WITH explaining AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[]) e (kind, token_id, due_at))
SELECT e.kind, e.token_id, r.row_count
FROM explaining e
CROSS JOIN LATERAL (
    SELECT sum(u.row_count)::bigint AS row_count
    FROM (SELECT count(*) AS row_count FROM :"schema".pending_stock_operations o
          WHERE o.status = 'pending' AND o.token_id = e.token_id AND o.next_retry_at <= e.due_at
          UNION ALL
          SELECT count(*) FROM :"schema".pending_stock_operations o
          WHERE o.status = 'processing' AND o.token_id = e.token_id
            AND o.next_retry_at <= e.due_at) u) r
WHERE e.token_id <> ''
UNION ALL
SELECT e.kind, '', r.row_count
FROM explaining e
CROSS JOIN LATERAL (
    SELECT coalesce(sum(a.row_count), 0)::bigint AS row_count
    -- Each counted by itself: from its index, which has the accounts in order.
    FROM (SELECT o.token_id, count(*) AS row_count FROM :"schema".pending_stock_operations o
          WHERE o.status = 'pending' AND o.next_retry_at <= e.due_at
          GROUP BY o.token_id
          UNION ALL
          SELECT o.token_id, count(*) FROM :"schema".pending_stock_operations o
          WHERE o.status = 'processing' AND o.next_retry_at <= e.due_at
          GROUP BY o.token_id) a
    WHERE NOT EXISTS (
        SELECT 1 FROM :"schema".stock_sync_circuits c, :"schema".stock_sync_circuits s
        WHERE c.token_id = a.token_id AND s.token_id = ''
          AND (c.paused_until > now()
               OR c.is_open AND NOT (s.is_open
                                     AND c.opened_at >= s.opened_at - interval '2 minutes')))) r
WHERE e.token_id = ''
