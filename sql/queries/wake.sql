-- Wakes the daemons of the schema $1, as an INSERT does, when the transaction ends.
SELECT pg_notify('stock_sync_' || $1::text, '')
