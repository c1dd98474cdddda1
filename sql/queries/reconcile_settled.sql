-- At most $3 orders, any of them, that were settled after $1 and not after $2, each with how many there are
-- (of very many: in a sample).
SELECT * FROM :"schema".stock_sync_settled($1, $2, $3)
