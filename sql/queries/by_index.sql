-- For the rest of this transaction: by the indexes of what is not done, whatever the statistics say. A
-- table analyzed in the middle of a bulk load seems empty, and reading all of it free. And by one process:
-- a question about a long queue shall not take the processors from those who shorten it.
SELECT set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true),
       set_config('max_parallel_workers_per_gather', '0', true)
