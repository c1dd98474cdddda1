-- Who has held a snapshot, or an unfinished change, of this database for over a minute, the longest: what
-- was deleted or updated since cannot be cleaned away, and claiming slows down. One row, empty where nobody
-- has; is_hidden: somebody holds one, and since when is told only to members of pg_read_all_stats.
WITH held AS (
    SELECT pid, application_name, state, xact_start
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
      AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)
      -- Nobody's: vacuum's own snapshot holds nothing back.
      AND usesysid IS NOT NULL
), oldest AS (
    SELECT *
    FROM held
    WHERE xact_start < clock_timestamp() - interval '1 minute'
    ORDER BY xact_start
    LIMIT 1
)
SELECT oldest.pid, oldest.application_name, oldest.state,
       extract(epoch FROM clock_timestamp() - oldest.xact_start)::double precision AS age_seconds,
       EXISTS (SELECT FROM held WHERE xact_start IS NULL) AS is_hidden
FROM (SELECT) AS always
LEFT JOIN oldest ON true
