-- What was done, from the minutes: attempts within the last $1 minutes, rows completed lately and today
-- (UTC), and how many of a day's took one attempt.
-- Lately: the last five minutes, the part of a minute in proportion; lately_seconds: over which, not
-- before anything was completed.
SELECT coalesce(sum(attempts) FILTER (WHERE is_in_window), 0)::bigint AS attempts,
       coalesce(sum(unproven) FILTER (WHERE is_in_window), 0)::bigint AS unproven,
       round(coalesce(sum(rows_completed * part_lately), 0))::bigint AS completed_lately,
       greatest(5, least(300, coalesce(extract(epoch FROM now() - min(minute) FILTER (
           WHERE part_lately > 0 AND rows_completed > 0)), 300)))::double precision
           AS lately_seconds,
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
