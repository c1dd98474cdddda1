-- The failed operations of the account $1 (NULL: any) whose error contains $2, literally (NULL: any): how
-- many, of how many accounts and of how many errors; the ten accounts that have most, each a row with a
-- token_id; the most frequent errors likewise; and the database's time, after the look.
SELECT kind, token_id, error, row_count, kind_count, clock_timestamp() AS now
FROM (
    SELECT CASE grouping(token_id, error_message)
               WHEN 3 THEN 'all' WHEN 1 THEN 'account' ELSE 'error' END AS kind,
           token_id, error_message AS error, count(*) AS row_count,
           count(*) OVER (PARTITION BY grouping(token_id, error_message)) AS kind_count,
           row_number() OVER (PARTITION BY grouping(token_id, error_message)
                              ORDER BY count(*) DESC, token_id, error_message) AS place
    FROM :"schema".pending_stock_operations
    WHERE status = 'failed'
      AND ($1::text IS NULL OR token_id = $1)
      AND ($2::text IS NULL OR strpos(error_message, $2) > 0)
    GROUP BY GROUPING SETS ((), (token_id), (error_message))) g
WHERE place <= 10
ORDER BY kind, place
