-- How many rows the order $1 has, of the account $2 or (NULL) of each account.
SELECT token_id, count(*) AS total
FROM :"schema".pending_stock_operations
WHERE order_id = $1 AND ($2::text IS NULL OR token_id = $2)
GROUP BY token_id
