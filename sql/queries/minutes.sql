-- What was pushed in each of the last $1 minutes, the present one last; also those in which nothing was.
SELECT b.minute, coalesce(m.attempts, 0) AS attempts, coalesce(m.rows_completed, 0) AS rows_completed,
       (m.push_ms / nullif(m.attempts, 0)::double precision) AS mean_push_ms,
       nullif(m.slowest_push_ms, 0) AS slowest_push_ms
FROM generate_series(date_trunc('minute', now()) - ($1::integer - 1) * interval '1 minute',
                     date_trunc('minute', now()), interval '1 minute') b (minute)
LEFT JOIN :"schema".stock_sync_minutes m USING (minute)
ORDER BY b.minute
