-- The right to send changes, for the daemon $1, for $2 seconds: given when there is one that a chat lacks, nobody
-- else sends, Telegram asked for no pause, and it is not muted. Changes of the kinds $3 go to the chats $4, all
-- others to $5; $6 are chats that rest, but from what was never tried. Gives why Telegram refuses, as last noted, and
-- the seconds by which the messages of late are ahead of their pace.
-- To be read on their own afterwards: what this statement sees may be what a sender before was just telling.
UPDATE :"schema".stock_sync_telegram
SET sender = $1, sender_until = clock_timestamp() + $2::double precision * interval '1 second'
WHERE (sender IS NULL OR sender = $1 OR sender_until < clock_timestamp())
  AND coalesce(muted_until, '-infinity') < clock_timestamp()
  AND coalesce(flood_until, '-infinity') < clock_timestamp()
  AND EXISTS (
    SELECT FROM :"schema".stock_sync_changes
    WHERE sent_at IS NULL
      AND NOT (sent_to || CASE WHEN tries > 0 THEN $6::text[] ELSE '{}' END)
          @> CASE WHEN kind = ANY($3::text[]) THEN $4::text[] ELSE $5::text[] END)
RETURNING refused,
          greatest(extract(epoch FROM paced_until - clock_timestamp()), 0)::double precision AS paced_seconds
