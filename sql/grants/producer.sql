-- The order system: it inserts rows, and nothing else. It reads the id alone, for RETURNING id and ON
-- CONFLICT (id); it neither reads, changes nor deletes rows, and does not touch the daemon's columns.
GRANT USAGE ON SCHEMA :"schema" TO :"role";
GRANT INSERT (id, token_id, order_id, allegro_order_id, operation_type, sku, quantity, warehouse,
              max_retries, next_retry_at),
      SELECT (id)
    ON :"schema".pending_stock_operations TO :"role";
