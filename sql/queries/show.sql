-- The operation $1, and the database's time.
SELECT id, token_id, order_id, allegro_order_id, operation_type, sku, quantity, warehouse, status,
       retry_count, max_retries, next_retry_at, created_at, updated_at, completed_at, error_message,
       attempts, attempted_at, lease_until, clock_timestamp() AS now
FROM :"schema".pending_stock_operations
WHERE id = $1
