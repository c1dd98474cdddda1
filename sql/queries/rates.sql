-- What was done, from the minutes: attempts within the last $1 minutes, rows completed lately and today
-- (UTC), and how many of a day's took one attempt.
-- Lately: the last five minutes, the part of a minute in proportion; lately_seconds: over which, not
-- before anything was completed. Flowing: since the last whole minute of these without any, which says
-- more of the present just after an outage.
SELECT coalesce(sum(attempts) FILTER (WHERE is_in_window), 0)::bigint AS attempts,
       coalesce(sum(unproven) FILTER (WHERE is_in_window), 0)::bigint AS unproven,
       round(coalesce(sum(rows_completed * part_lately), 0))::bigint AS completed_lately,
       greatest(5, least(300, coalesce(extract(epoch FROM now() - min(minute) FILTER (
           WHERE part_lately > 0 AND rows_completed > 0)), 300)))::double precision
           AS lately_seconds,
       round(coalesce(sum(rows_completed * CASE WHEN silent_until IS NULL THEN part_lately
                          ELSE (minute >= silent_until)::integer END), 0))::bigint AS flowing_rows,
       greatest(5, least(300, coalesce(extract(epoch FROM now() - min(silent_until)), 300)
           ))::double precision AS flowing_seconds,
       coalesce(sum(rows_completed) FILTER (
           WHERE minute >= date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'), 0
       )::bigint AS completed_today,
       (sum(rows_first_try) / nullif(sum(rows_completed), 0))::double precision AS first_try_share,
       sum(retried_seconds) / nullif(sum(rows_completed - rows_first_try), 0)::double precision
           AS mean_retry_seconds,
       (SELECT last_completed_at FROM :"schema".stock_sync_minutes
        WHERE last_completed_at IS NOT NULL ORDER BY minute DESC LIMIT 1) AS last_completed_at
FROM (
    SELECT *, minute >= date_trunc('minute', now() - $1::integer * interval '1 minute'
           ) AS is_in_window,
           greatest(0, least(1, extract(epoch FROM minute + interval '6 minutes' - now()) / 60)
           ) AS part_lately
    FROM :"schema".stock_sync_minutes
    WHERE minute >= date_trunc('minute', now() - interval '1 day')) m
CROSS JOIN (
    SELECT max(g) + interval '1 minute' AS silent_until
    FROM generate_series(date_trunc('minute', now()) - interval '5 minutes',
                         date_trunc('minute', now()) - interval '1 minute', interval '1 minute') g
    WHERE NOT EXISTS (SELECT 1 FROM :"schema".stock_sync_minutes s
                      WHERE s.minute = g AND s.rows_completed > 0)) f
