-- The newest $3 rows of the order $1, of the account $2 or (NULL) of every account, newest first; with
-- each the count of all that the account has.
SELECT id, token_id, order_id, allegro_order_id, operation_type, sku, quantity, warehouse, status,
       retry_count, max_retries, next_retry_at, created_at, updated_at, completed_at, error_message,
       attempts, attempted_at, lease_until, count(*) OVER (PARTITION BY token_id) AS total
FROM :"schema".pending_stock_operations
WHERE order_id = $1 AND ($2::text IS NULL OR token_id = $2)
ORDER BY seq DESC
LIMIT $3
