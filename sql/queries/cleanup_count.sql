-- What a cleanup would delete now, and changes nothing: completed and cancelled rows are kept for $1
-- days, failed ones for $2, minutes for $3, changes for $4 days after they were sent, unsent ones for
-- $5. Scans the operations once.
SELECT r.*,
       (SELECT count(*) FROM :"schema".stock_sync_orders s
        WHERE s.balance_until < now() AND NOT :"schema".stock_sync_is_in_need(s)
          AND NOT EXISTS (SELECT 1 FROM :"schema".pending_stock_operations o
                          WHERE o.order_id = s.order_id AND o.token_id = s.token_id)
       ) AS balances_forgotten,
       (SELECT count(*) FROM :"schema".stock_sync_minutes
        WHERE minute < now() - make_interval(days => $3)) AS minutes,
       (SELECT count(*) FROM :"schema".stock_sync_changes
        WHERE sent_at < now() - make_interval(days => $4)
           OR (sent_at IS NULL AND at < now() - make_interval(days => $5))) AS changes
FROM (
    SELECT count(*) AS orders,
           coalesce(sum(g.completed), 0)::bigint AS completed,
           coalesce(sum(g.cancelled), 0)::bigint AS cancelled,
           coalesce(sum(g.failed), 0)::bigint AS failed,
           count(*) FILTER (WHERE b.balance <> 0) AS balances_carried
    FROM (
        SELECT o.order_id, o.token_id,
               count(*) FILTER (WHERE o.status = 'completed') AS completed,
               count(*) FILTER (WHERE o.status = 'cancelled') AS cancelled,
               count(*) FILTER (WHERE o.status = 'failed') AS failed
        FROM :"schema".pending_stock_operations o
        GROUP BY o.order_id, o.token_id
        HAVING bool_and(:"schema".stock_sync_is_old(o, $1, $2))) g
    LEFT JOIN :"schema".stock_sync_orders s USING (order_id, token_id)
    CROSS JOIN LATERAL :"schema".stock_sync_order(g.token_id, g.order_id) b
    WHERE NOT :"schema".stock_sync_is_in_need(s)) r
