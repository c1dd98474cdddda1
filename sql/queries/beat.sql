-- "I live": the daemon $1 on the host $2 with the pid $3 and the version $4; whether it listens ($5, NULL: polls),
-- its pushes in flight ($6), and how many seconds ago it last settled something ($7, NULL: never).
-- Gives the database's time, in seconds since 1970.
-- Daemons that died without a word are forgotten after a day.
WITH forgotten AS (
    DELETE FROM :"schema".stock_sync_daemons
    WHERE seen_at < clock_timestamp() - interval '1 day' AND id <> $1)
INSERT INTO :"schema".stock_sync_daemons AS d
    (id, host, pid, version, is_listening, in_flight, settled_at)
VALUES ($1, $2, $3, $4, $5, $6, clock_timestamp() - $7::double precision * interval '1 second')
ON CONFLICT (id) DO UPDATE
SET seen_at = clock_timestamp(), is_listening = excluded.is_listening,
    in_flight = excluded.in_flight, settled_at = coalesce(excluded.settled_at, d.settled_at)
RETURNING extract(epoch FROM clock_timestamp())::double precision
