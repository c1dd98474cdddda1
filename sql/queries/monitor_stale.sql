-- Rows that are stale $1 hours after their insert (status.sql), by account: how many, and the five oldest
-- of each.
SELECT token_id, row_count, id, order_id, created_at, error_message
FROM (
    SELECT s.*, count(*) OVER (PARTITION BY token_id) AS row_count,
           row_number() OVER (PARTITION BY token_id ORDER BY created_at, seq) AS place
    FROM (
        SELECT token_id, id, order_id, created_at, seq, error_message
        FROM :"schema".pending_stock_operations
        WHERE status = 'pending' AND created_at < now() - $1::integer * interval '1 hour'
          AND (attempts > 0 OR next_retry_at <= now())
        UNION ALL
        SELECT token_id, id, order_id, created_at, seq, error_message
        FROM :"schema".pending_stock_operations
        WHERE status = 'processing' AND created_at < now() - $1::integer * interval '1 hour') s) t
WHERE place <= 5
ORDER BY created_at, id
