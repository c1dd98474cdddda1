-- The database's time at the beginning of a turn, and the seconds since the service proved something (NULL:
-- never). For the rest of the transaction rows are looked up by index, whatever the statistics say, and by
-- one process (by_index.sql).
SELECT clock_timestamp() AS now,
       extract(epoch FROM clock_timestamp() - proven_at)::double precision AS proven_seconds,
       set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true),
       set_config('max_parallel_workers_per_gather', '0', true)
FROM :"schema".stock_sync_circuits WHERE token_id = ''
