-- Makes rows and orders with an expired lease pending again, at most $1 of each, by $2 in the log.
SELECT row_count, order_count FROM :"schema".stock_sync_rescue($1, $2)
