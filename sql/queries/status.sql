-- What failed, which orders are in need, and the database's time; each by an index of its own, never by a
-- look at what is done. What waits, and what of it is retried: waiting.sql.
SELECT f.failed,
       (SELECT count(*) FROM :"schema".stock_sync_orders WHERE push_due_at IS NOT NULL
       ) AS orders_to_push_again,
       (SELECT count(*) FROM :"schema".stock_sync_orders WHERE ambiguous_at IS NOT NULL
       ) AS ambiguous_orders,
       now() AS now
FROM (
    SELECT count(*) AS failed
    FROM :"schema".pending_stock_operations WHERE status = 'failed') f
