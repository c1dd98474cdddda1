-- Changes that nobody waits for: all chats of the settings have them, of the kinds $1 the chats $2, of all others $3,
-- because one was taken out of the settings.
UPDATE :"schema".stock_sync_changes SET sent_at = clock_timestamp()
WHERE sent_at IS NULL
  AND sent_to @> CASE WHEN kind = ANY($1::text[]) THEN $2::text[] ELSE $3::text[] END
