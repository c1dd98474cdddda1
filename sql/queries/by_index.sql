-- For the rest of this transaction: by the indexes of what is not done, whatever the statistics say. A
-- table analyzed in the middle of a bulk load seems empty, and reading all of it free.
SELECT set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)
