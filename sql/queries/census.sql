-- How many operations are done. Looks at every row: there is no index on what is done, the order system
-- would pay for it.
SELECT count(*) FILTER (WHERE status = 'completed') AS completed,
       count(*) FILTER (WHERE status = 'cancelled') AS cancelled
FROM :"schema".pending_stock_operations
