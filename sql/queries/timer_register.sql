-- The timer $1 has a turn every $2 seconds, the first one after so long; or, with $3, first at this time of
-- day (HH:MM, UTC). A timer that is there keeps its schedule, as far as it agrees with both.
WITH today AS (
    SELECT utc.now, date_trunc('day', utc.now) + $3::text::time AS at
    FROM (SELECT now() AT TIME ZONE 'UTC' AS now) utc),
first AS (
    SELECT CASE
        WHEN $3 IS NULL THEN now() + $2::bigint * interval '1 second'
        WHEN at > today.now THEN at AT TIME ZONE 'UTC'
        ELSE (at + interval '1 day') AT TIME ZONE 'UTC' END AS due_at
    FROM today)
INSERT INTO :"schema".stock_sync_timers AS t (name, interval_seconds, due_at)
SELECT $1, $2, first.due_at FROM first
ON CONFLICT (name) DO UPDATE
SET interval_seconds = excluded.interval_seconds,
    due_at = CASE
        WHEN $3 IS NULL OR (t.due_at AT TIME ZONE 'UTC')::time = $3::text::time
        THEN least(t.due_at, excluded.due_at) ELSE excluded.due_at END
