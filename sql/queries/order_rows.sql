-- The rows of the order $1, of the account $2 or (NULL) of every account, oldest first.
SELECT id, token_id, order_id, allegro_order_id, operation_type, sku, quantity, warehouse, status,
       retry_count, max_retries, next_retry_at, created_at, updated_at, completed_at, error_message,
       attempts, attempted_at, lease_until
FROM :"schema".pending_stock_operations
WHERE order_id = $1 AND ($2::text IS NULL OR token_id = $2)
ORDER BY token_id, seq
