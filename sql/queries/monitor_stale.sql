-- Examples of rows that are stale $1 hours after their insert (waiting.sql): of each account the five oldest,
-- in a sample of the $3 longest due rows of each of the accounts $2, ten times as many of those that are
-- retried first, and of those in flight. Looks at no more, however many are stale.
SELECT id, token_id, order_id, created_at, error_message
FROM (
    SELECT s.*, row_number() OVER (PARTITION BY token_id ORDER BY created_at, seq) AS place
    FROM (
        SELECT h.id, h.token_id, h.order_id, h.created_at, h.seq, h.error_message
        FROM unnest($2::text[]) a (token_id)
        CROSS JOIN LATERAL (
            SELECT * FROM :"schema".pending_stock_operations o
            WHERE o.status = 'pending' AND o.token_id = a.token_id
            ORDER BY o.next_retry_at, o.seq LIMIT $3) h
        WHERE h.attempts > 0 OR h.next_retry_at <= now()
        UNION
        (SELECT id, token_id, order_id, created_at, seq, error_message
         FROM :"schema".pending_stock_operations
         WHERE status = 'pending' AND error_message IS NOT NULL
         ORDER BY next_retry_at LIMIT 10 * $3)
        UNION
        (SELECT id, token_id, order_id, created_at, seq, error_message
         FROM :"schema".pending_stock_operations
         WHERE status = 'processing' LIMIT 10 * $3)) s
    WHERE created_at < now() - $1::integer * interval '1 hour') t
WHERE place <= 5
ORDER BY created_at, seq
