-- The daemon $1 stops in order. Daemons that died without a word are forgotten after a day.
DELETE FROM :"schema".stock_sync_daemons
WHERE id = $1 OR seen_at < clock_timestamp() - interval '1 day'
