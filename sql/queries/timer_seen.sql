-- All timers and their last turns. One is overdue when its turn is due, or runs, for more than an interval;
-- where that is shorter than the lease of a runner that died, for more than the lease (60 s).
SELECT t.name, t.interval_seconds, t.due_at, r.is_running, t.runner, t.started_at, t.ended_at,
       t.succeeded_at, t.result, t.error,
       -- A turn that is tried again and again is as late as the first of these.
       CASE WHEN r.is_running AND t.error IS NULL THEN greatest(t.started_at, t.due_at) ELSE t.due_at END
           < now() - greatest(t.interval_seconds, 60) * interval '1 second' AS is_overdue
FROM :"schema".stock_sync_timers t,
     LATERAL (SELECT t.run_token IS NOT NULL AND t.lease_until >= now() AS is_running) r
ORDER BY t.name
