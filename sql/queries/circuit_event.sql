-- On-call has to hear that the circuit $1 ('': the service's) turns: why it opens ($2), or (NULL) how long
-- it was open. Before it is saved: what is said of the past is still there.
INSERT INTO :"schema".stock_sync_events (kind, token_id, details)
SELECT CASE WHEN $2::text IS NULL THEN 'circuit_closed' ELSE 'circuit_opened' END, $1::text,
       CASE WHEN $2::text IS NOT NULL THEN jsonb_build_object('reason', $2::text)
       ELSE jsonb_build_object(
           'opened_at', to_char(c.opened_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
           'seconds', extract(epoch FROM clock_timestamp() - c.opened_at),
           'probes', c.probes) END
FROM (VALUES (1)) one LEFT JOIN :"schema".stock_sync_circuits c ON c.token_id = $1
