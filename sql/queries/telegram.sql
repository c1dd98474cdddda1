-- Telegram, as all daemons share it, and what was not sent to every chat yet.
SELECT t.refused, t.refused_at,
       CASE WHEN t.muted_until > now() THEN t.muted_until END AS muted_until,
       CASE WHEN t.muted_until > now() THEN t.muted_by END AS muted_by,
       u.unsent, u.oldest_unsent_at
FROM :"schema".stock_sync_telegram t
CROSS JOIN (
    SELECT count(*) AS unsent, min(at) AS oldest_unsent_at
    FROM :"schema".stock_sync_changes WHERE sent_at IS NULL) u
