-- One batch of cleanup: reads $2 log entries after the entry $1, deletes the orders that are over, $2
-- rows or one order at most. Completed and cancelled rows are kept for $3 days, failed ones for $4, the
-- balance of an order for $5 more.
SELECT * FROM :"schema".stock_sync_cleanup($1, $2, $3, $4, $5)
