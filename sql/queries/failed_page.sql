-- At most $7 failed operations of the account $1 (NULL: any) whose error contains $2, literally (NULL:
-- any), and that failed at $3 or before; by account, the earliest first, after the one of the account $4
-- that failed at $5 and has the id $6.
SELECT id, token_id, updated_at
FROM :"schema".pending_stock_operations
WHERE status = 'failed'
  AND ($1::text IS NULL OR token_id = $1)
  AND ($2::text IS NULL OR strpos(error_message, $2) > 0)
  AND updated_at <= $3
  AND (token_id, updated_at, id) > ($4, $5, $6)
ORDER BY token_id, updated_at, id
LIMIT $7
