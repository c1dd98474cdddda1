-- Those of the operations $1 that are failed now.
SELECT id FROM :"schema".pending_stock_operations
WHERE id = ANY ($1::uuid[]) AND status = 'failed' ORDER BY id
