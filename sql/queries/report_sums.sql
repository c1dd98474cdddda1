-- The day that ends at $1, in sums; what failed and waits for a person now; and whether the day $2 was
-- reported already.
SELECT coalesce(sum(m.orders_pushed), 0)::bigint AS orders_pushed,
       coalesce(sum(m.rows_completed), 0)::bigint AS rows_completed,
       (sum(m.rows_first_try)::double precision / nullif(sum(m.rows_completed), 0)
       ) AS first_try_share,
       coalesce(sum(m.row_retries), 0)::bigint AS row_retries,
       sum(m.retried_seconds) / nullif(sum(m.rows_completed - m.rows_first_try), 0)::double precision
           AS mean_retry_seconds,
       coalesce(sum(m.rows_failed), 0)::bigint AS rows_failed,
       (SELECT count(*) FROM :"schema".pending_stock_operations WHERE status = 'failed') AS failed_now,
       coalesce(sum(m.discrepancies_found), 0)::bigint AS discrepancies_found,
       coalesce(sum(m.discrepancies_repaired), 0)::bigint AS discrepancies_repaired,
       EXISTS (SELECT 1 FROM :"schema".stock_sync_changes c
               WHERE c.kind = 'daily_report' AND c.facts ->> 'day' = $2::text) AS is_told
FROM :"schema".stock_sync_minutes m
WHERE m.minute >= $1::timestamptz - interval '24 hours' AND m.minute < $1::timestamptz
