-- The oldest $5 changes that a chat lacks which would take them: of the kinds $1 the chats $2 shall have them, of
-- all others $3; the chats $4 rest, but from what was never tried. late: could not be told when it happened.
SELECT id, at, kind, phase, token_id, facts, sent_to,
       tries > 0 OR added_at < clock_timestamp() - interval '1 minute' AS is_late,
       tries > 0 AS was_tried
FROM :"schema".stock_sync_changes
WHERE sent_at IS NULL
  AND NOT (sent_to || CASE WHEN tries > 0 THEN $4::text[] ELSE '{}' END)
      @> CASE WHEN kind = ANY($1::text[]) THEN $2::text[] ELSE $3::text[] END
ORDER BY id
LIMIT $5
