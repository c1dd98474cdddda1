-- The daemon $1 stops in order.
DELETE FROM :"schema".stock_sync_daemons WHERE id = $1
