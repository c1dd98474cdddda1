-- Gives a turn of the timer $1 to the runner $2 for $3 seconds, if one is asked for or due and nobody has it.
-- After a failure the schedule waits a minute, or an interval where that is shorter.
-- Gives one row while the timer is registered; without a run_token: no turn.
WITH taken AS (
    UPDATE :"schema".stock_sync_timers t
    SET runner = $2, run_token = gen_random_uuid(), started_at = now(),
        lease_until = now() + $3::double precision * interval '1 second'
    WHERE t.name = $1 AND (t.run_token IS NULL OR t.lease_until < now())
      AND (t.asked <> '[]' OR t.due_at <= now() AND (
           t.error IS NULL OR t.ended_at <= now() - least(t.interval_seconds, 60) * interval '1 second'))
    RETURNING t.run_token, t.started_at, t.asked -> 0 AS ask)
SELECT t.due_at, extract(epoch FROM t.due_at - now())::double precision AS due_seconds, t.succeeded_at,
       taken.run_token, taken.started_at, taken.ask ->> 'by' AS asked_by, taken.ask -> 'of' AS asked_for,
       CASE WHEN t.run_token IS NOT NULL THEN t.runner END AS runner_before
FROM :"schema".stock_sync_timers t LEFT JOIN taken ON true
WHERE t.name = $1
