-- Who has held a snapshot, or an unfinished change, of this database for over a minute, the longest: what
-- was deleted or updated since cannot be cleaned away, and claiming slows down. Of other roles'
-- sessions it is known only to members of pg_read_all_stats.
SELECT pid, application_name, state,
       extract(epoch FROM clock_timestamp() - xact_start)::double precision AS age_seconds
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
  AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)
  AND xact_start < clock_timestamp() - interval '1 minute'
  -- Vacuum's own snapshot holds nothing back.
  AND backend_type <> 'autovacuum worker'
ORDER BY xact_start
LIMIT 1
