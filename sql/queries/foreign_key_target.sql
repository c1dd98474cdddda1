-- The order system's table $1, in the outbox's schema $2 or else where the search path finds it:
-- its name as Postgres writes it, and whether the key $3 of ours is there already.
SELECT coalesce(to_regclass(format('%I.%I', $2::text, $1::text)), to_regclass(quote_ident($1::text)))::text AS target,
       EXISTS (SELECT 1 FROM pg_constraint c
               WHERE c.conname = $3
                 AND c.conrelid = to_regclass(format('%I.pending_stock_operations', $2))) AS is_there
