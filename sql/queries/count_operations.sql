-- How many operations there are with the status $1, of the account $2, of the order $3 (each NULL:
-- any), and the database's time. Scans what list_operations scans.
SELECT count(*) AS total, clock_timestamp() AS now
FROM :"schema".pending_stock_operations
WHERE ($1::text IS NULL OR status = $1)
  AND ($2::text IS NULL OR token_id = $2)
  AND ($3::text IS NULL OR order_id = $3)
