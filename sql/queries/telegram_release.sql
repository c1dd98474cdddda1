-- The daemon $1 sends no more for now; it sent $2 messages, each of which sets the pace by $3 seconds.
UPDATE :"schema".stock_sync_telegram
SET sender = CASE WHEN sender IS DISTINCT FROM $1 THEN sender END,
    sender_until = CASE WHEN sender IS DISTINCT FROM $1 THEN sender_until END,
    paced_until = CASE WHEN $2::integer > 0
                       THEN greatest(paced_until, clock_timestamp()) + $2 * $3::double precision * interval '1 second'
                       ELSE paced_until END
