-- The account whose rows took longest from insert to completion, on average, in the day that ends at $1.
-- Looks at every row, once a day: an index on completed_at would be paid for at every INSERT.
SELECT token_id, extract(epoch FROM avg(completed_at - created_at))::double precision AS mean_seconds,
       count(*) AS rows
FROM :"schema".pending_stock_operations
WHERE completed_at >= $1::timestamptz - interval '24 hours' AND completed_at < $1::timestamptz
GROUP BY token_id
ORDER BY mean_seconds DESC, token_id
LIMIT 1
