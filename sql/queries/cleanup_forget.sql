-- One batch, at most $1 of each: forgets balances whose time is over (those of orders with new rows are
-- kept for $2 days more), minutes after $3 days, changes $4 days after they were sent, or unsent after $5.
SELECT * FROM :"schema".stock_sync_forget($1, $2, $3, $4, $5)
