-- The day that ends at $1, by the hours of the day in UTC: rows completed, and the most that waited.
SELECT h.hour, coalesce(sum(m.rows_completed), 0)::bigint AS rows_completed,
       coalesce(max(m.due_rows), 0) AS due_rows
FROM generate_series(0, 23) h (hour)
LEFT JOIN :"schema".stock_sync_minutes m
    ON m.minute >= $1::timestamptz - interval '24 hours' AND m.minute < $1::timestamptz
   AND extract(hour FROM m.minute AT TIME ZONE 'UTC') = h.hour
GROUP BY h.hour
ORDER BY h.hour
