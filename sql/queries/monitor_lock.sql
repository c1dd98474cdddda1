-- One turn of the monitor at a time. Whoever only reads the conditions does not wait.
LOCK TABLE :"schema".stock_sync_conditions IN SHARE ROW EXCLUSIVE MODE
