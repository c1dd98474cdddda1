-- The circuit $1 ('': the service's) after what was seen: its evidence $2, whether that is clean $3,
-- and why it is open $4 (NULL: closed). A circuit that opens is probed first after a second.
INSERT INTO :"schema".stock_sync_circuits AS c
    (token_id, evidence, is_clean, is_open, reason, opened_at, probe_at)
VALUES ($1, $2, $3, $4::text IS NOT NULL, $4::text,
        CASE WHEN $4::text IS NOT NULL THEN clock_timestamp() END,
        CASE WHEN $4::text IS NOT NULL THEN clock_timestamp() + interval '1 second' END)
ON CONFLICT (token_id) DO UPDATE
SET evidence = excluded.evidence, is_clean = excluded.is_clean, is_open = excluded.is_open,
    reason = excluded.reason,
    opened_at = CASE WHEN c.is_open AND excluded.is_open THEN c.opened_at ELSE excluded.opened_at END,
    probe_at = CASE WHEN c.is_open AND excluded.is_open THEN c.probe_at ELSE excluded.probe_at END,
    probe_until = CASE WHEN c.is_open AND excluded.is_open THEN c.probe_until END,
    probes = CASE WHEN c.is_open AND excluded.is_open THEN c.probes ELSE 0 END
