-- Ends the turn $2 of the timer $1 if it is still held: well, with the result $3, or with the error $4.
-- $5: it was asked for; $6: it was of everything. Gives the seconds until the next one.
-- A turn of the schedule that ended well is followed at the next whole interval: a late one is one turn.
UPDATE :"schema".stock_sync_timers
SET run_token = NULL, lease_until = NULL, ended_at = now(), error = $4::text,
    result = coalesce($3::jsonb, result),
    succeeded_at = CASE WHEN $4::text IS NULL AND $6::boolean THEN started_at ELSE succeeded_at END,
    -- While it ran, others were put behind it.
    asked = CASE WHEN $5::boolean THEN asked - 0 ELSE asked END,
    due_at = CASE WHEN $4::text IS NULL AND NOT $5::boolean AND due_at <= now()
        THEN due_at + interval '1 second' * (interval_seconds
            * (floor(extract(epoch FROM now() - due_at) / interval_seconds) + 1))::double precision
        ELSE due_at END
WHERE name = $1 AND run_token = $2
RETURNING CASE WHEN asked <> '[]' OR error IS NULL AND due_at <= now() THEN 0
    ELSE extract(epoch FROM due_at - now())::double precision END AS rest_seconds
