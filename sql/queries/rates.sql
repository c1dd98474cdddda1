-- What was done, from the minutes: attempts within the last $1 minutes, rows completed lately and today
-- (UTC), and how many of a day's took one attempt.
-- Lately: the last five minutes, the part of a minute in proportion; lately_seconds: over which, not
-- before anything was completed. Flowing: in this minute and the one before, since the last pause of more
-- than 15 s between the rows of one minute and the next; what flows after an outage says more of the present
-- than the quiet before it. (A pause within a minute is not seen: the rate is right two minutes later.) Until
-- when: daemons tell every few seconds.
SELECT coalesce(sum(attempts) FILTER (WHERE is_in_window), 0)::bigint AS attempts,
       coalesce(sum(unproven) FILTER (WHERE is_in_window), 0)::bigint AS unproven,
       round(coalesce(sum(rows_completed * part_lately), 0))::bigint AS completed_lately,
       greatest(5, least(300, coalesce(extract(epoch FROM now() - min(began_at) FILTER (
           WHERE part_lately > 0 AND rows_completed > 0)), 300)))::double precision
           AS lately_seconds,
       coalesce(sum(rows_completed) FILTER (WHERE minute >= flows_from), 0)::bigint AS flowing_rows,
       greatest(5, extract(epoch FROM
           greatest(now() - interval '10 s', max(last_completed_at))
           - min(began_at) FILTER (WHERE minute >= flows_from)
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
    SELECT *, coalesce(first_completed_at, minute) AS began_at,
           minute >= date_trunc('minute', now() - $1::integer * interval '1 minute'
           ) AS is_in_window,
           greatest(0, least(1, extract(epoch FROM minute + interval '6 minutes' - now()) / 60)
           ) AS part_lately
    FROM :"schema".stock_sync_minutes
    WHERE minute >= date_trunc('minute', now() - interval '1 day')) m
CROSS JOIN (
    SELECT max(minute) AS flows_from
    FROM (
        SELECT minute, minute = date_trunc('minute', now()) - interval '1 minute' AS is_first,
               coalesce(first_completed_at, minute)
                   - lag(coalesce(last_completed_at, minute + interval '1 minute'))
                     OVER (ORDER BY minute) > interval '15 s' AS is_after_pause
        FROM :"schema".stock_sync_minutes
        WHERE minute >= date_trunc('minute', now()) - interval '2 minutes' AND rows_completed > 0) n
    WHERE minute >= date_trunc('minute', now()) - interval '1 minute'
      AND (is_first OR is_after_pause IS NOT FALSE)) f
