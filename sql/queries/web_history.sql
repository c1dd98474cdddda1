-- What was done in the last $1 minutes, in buckets of $2 minutes; without a bucket of nothing left out.
SELECT b.at,
       coalesce(m.attempts, 0) AS attempts,
       coalesce(m.unproven, 0) AS unproven,
       coalesce(m.orders_pushed, 0) AS orders_pushed,
       coalesce(m.rows_completed, 0) AS rows_completed,
       coalesce(m.rows_failed, 0) AS rows_failed,
       coalesce(m.row_retries, 0) AS row_retries,
       m.mean_push_ms, m.slowest_push_ms, m.due_rows, m.oldest_due_seconds
FROM (
    SELECT $2::integer * interval '1 minute' AS width, timestamptz '2000-01-01 00:00+00' AS origin
) c
CROSS JOIN LATERAL generate_series(
    date_bin(c.width, now() - $1::integer * interval '1 minute', c.origin), now(), c.width) b (at)
LEFT JOIN (
    SELECT date_bin($2::integer * interval '1 minute', minute, timestamptz '2000-01-01 00:00+00'
           ) AS at,
           sum(attempts)::bigint AS attempts,
           sum(unproven)::bigint AS unproven,
           sum(orders_pushed)::bigint AS orders_pushed,
           sum(rows_completed)::bigint AS rows_completed,
           sum(rows_failed)::bigint AS rows_failed,
           sum(row_retries)::bigint AS row_retries,
           (sum(push_ms) / nullif(sum(attempts), 0))::double precision AS mean_push_ms,
           -- Nothing was timed: not 0.
           nullif(max(slowest_push_ms), 0) AS slowest_push_ms,
           max(due_rows) AS due_rows,
           max(oldest_due_seconds) AS oldest_due_seconds
    FROM :"schema".stock_sync_minutes
    WHERE minute >= now() - ($1::integer + $2::integer) * interval '1 minute'
    GROUP BY 1) m ON m.at = b.at
ORDER BY b.at
