-- Circuits that are open or paused, the service's ('') first.
SELECT token_id, is_open, reason, opened_at, probes, probe_at,
       coalesce(probe_until > now(), false) AS is_probing, is_paused,
       CASE WHEN is_paused THEN paused_until END AS paused_until,
       CASE WHEN is_paused THEN paused_by END AS paused_by
FROM (SELECT *, coalesce(paused_until > now(), false) AS is_paused
      FROM :"schema".stock_sync_circuits) c
WHERE is_open OR is_paused
ORDER BY token_id
