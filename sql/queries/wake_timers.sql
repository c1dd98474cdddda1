-- Tells the daemons of the schema $1, when the transaction ends, that a timer's turn is asked for. Not by the
-- word of an INSERT: they would ask for turns with each row.
SELECT pg_notify('stock_sync_' || $1::text, 'timers')
