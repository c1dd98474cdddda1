-- Failed operations by account and error, the most frequent first: of at most $1 of them, $2 groups.
SELECT token_id, error_message AS error, count(*) AS row_count,
       count(DISTINCT order_id) AS order_count, max(updated_at) AS last_at,
       (array_agg(id ORDER BY updated_at DESC))[1:5] AS examples,
       sum(count(*)) OVER ()::bigint AS looked_at
FROM (
    SELECT id, token_id, order_id, error_message, updated_at
    FROM :"schema".pending_stock_operations WHERE status = 'failed' LIMIT $1) f
GROUP BY token_id, error_message
ORDER BY count(*) DESC, max(updated_at) DESC
LIMIT $2
