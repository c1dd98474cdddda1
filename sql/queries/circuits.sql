-- Circuits that are open or paused, the service's ('') first.
SELECT token_id, is_open, reason, opened_at, probes, probe_at,
       paused_until > clock_timestamp() AS is_paused, paused_until, paused_by
FROM :"schema".stock_sync_circuits
WHERE is_open OR paused_until > clock_timestamp()
ORDER BY token_id
