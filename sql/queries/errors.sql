-- The most frequent error among the first thousand operations that are retried (pending), and among a
-- thousand of those that failed.
SELECT DISTINCT ON (status) status, error_message AS error
FROM (
    (SELECT status, error_message FROM :"schema".pending_stock_operations
     WHERE status = 'pending' AND error_message IS NOT NULL
     ORDER BY next_retry_at LIMIT 1000)
    UNION ALL
    (SELECT status, error_message FROM :"schema".pending_stock_operations
     WHERE status = 'failed' AND error_message IS NOT NULL LIMIT 1000)) e
GROUP BY status, error_message
ORDER BY status, count(*) DESC, error_message
