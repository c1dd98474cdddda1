-- The most frequent error of the operations that are retried (pending) and of those that failed, and
-- how many have it. Scans the operations once: there is no index on failed rows.
SELECT DISTINCT ON (status) status, error_message AS error, count(*) AS row_count
FROM :"schema".pending_stock_operations
WHERE status IN ('pending', 'failed') AND error_message IS NOT NULL
GROUP BY status, error_message
ORDER BY status, count(*) DESC, error_message
