-- The changes $1 are told in the chat $2. One that all have is sent: of the kinds $3 the chats $4, of all others $5.
-- No fence: whoever told it, the chat has it.
UPDATE :"schema".stock_sync_changes
SET sent_to = array_append(array_remove(sent_to, $2), $2),
    sent_at = CASE WHEN array_append(sent_to, $2)
                        @> CASE WHEN kind = ANY($3::text[]) THEN $4::text[] ELSE $5::text[] END
                   THEN clock_timestamp() END
WHERE id = ANY($1::bigint[])
