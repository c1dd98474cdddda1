-- The daemons that did not stop in order, the longest-running first; one that was seen within the last
-- 15 seconds (three of its beats) is alive. Who died more than an hour ago is no news any more.
SELECT host, pid, version, started_at, is_listening, in_flight, settled_at,
       extract(epoch FROM clock_timestamp() - seen_at)::double precision AS seen_seconds,
       seen_at > clock_timestamp() - interval '15 seconds' AS is_alive
FROM :"schema".stock_sync_daemons
WHERE seen_at > clock_timestamp() - interval '1 hour'
ORDER BY started_at, id
