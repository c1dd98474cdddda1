-- Asks for a turn of the timer $1 at once, at the wish of $2, of $3 only (a JSON object; empty: of
-- everything), unless the same waits already. Gives whether fewer than $4 waited; no row: no such timer.
WITH asked AS (
    UPDATE :"schema".stock_sync_timers t
    SET asked = t.asked || jsonb_build_object('by', $2::text, 'of', $3::jsonb)
    WHERE t.name = $1 AND jsonb_array_length(t.asked) < $4::integer
      AND NOT EXISTS (
        SELECT 1 FROM jsonb_array_elements(t.asked) WITH ORDINALITY a (ask, place)
        -- The first may be in its turn already: what is wanted now is one more.
        WHERE a.ask -> 'of' = $3::jsonb AND (a.place > 1 OR t.run_token IS NULL)))
SELECT jsonb_array_length(t.asked) < $4::integer FROM :"schema".stock_sync_timers t WHERE t.name = $1
