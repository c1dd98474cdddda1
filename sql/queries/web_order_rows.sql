-- The newest $3 rows of the order $1, of the account $2 or (NULL) of each account, oldest first; of very
-- many accounts the newest of each, then the second one of each and so on, $4 in all.
SELECT id, token_id, order_id, allegro_order_id, operation_type, sku, quantity, warehouse, status,
       retry_count, max_retries, next_retry_at, created_at, updated_at, completed_at, error_message,
       attempts, attempted_at, lease_until
FROM (
    SELECT *, row_number() OVER (PARTITION BY token_id ORDER BY seq DESC) AS place
    FROM :"schema".pending_stock_operations
    WHERE order_id = $1 AND ($2::text IS NULL OR token_id = $2)
    ORDER BY place, seq DESC LIMIT $4) o
WHERE place <= $3
ORDER BY seq
