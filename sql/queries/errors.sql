-- The most frequent error among the first thousand operations that are retried (pending, and nothing holds
-- them up), and among a thousand of those that failed.
WITH held AS (
    SELECT token_id FROM :"schema".stock_sync_circuits WHERE is_open OR paused_until > now())
SELECT DISTINCT ON (status) status, error_message AS error
FROM (
    (SELECT status, error_message FROM :"schema".pending_stock_operations o
     WHERE status = 'pending' AND error_message IS NOT NULL
       AND NOT EXISTS (SELECT FROM held WHERE held.token_id = '')
       AND NOT EXISTS (SELECT FROM held WHERE held.token_id = o.token_id)
     ORDER BY next_retry_at LIMIT 1000)
    UNION ALL
    (SELECT status, error_message FROM :"schema".pending_stock_operations
     WHERE status = 'failed' AND error_message IS NOT NULL LIMIT 1000)) e
GROUP BY status, error_message
ORDER BY status, count(*) DESC, error_message
