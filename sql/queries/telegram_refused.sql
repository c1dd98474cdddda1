-- Telegram takes no messages from us, because of $1; NULL: it does again.
UPDATE :"schema".stock_sync_telegram
SET refused = $1, refused_at = CASE WHEN $1 IS NULL THEN NULL ELSE coalesce(refused_at, clock_timestamp()) END
WHERE refused IS DISTINCT FROM $1
