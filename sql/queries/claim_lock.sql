-- Waits until nobody claims in the schema $1, and lets nobody claim before the transaction ends.
-- 1398035267: "STSC" in ASCII, the lock of stock_sync_claim.
SELECT pg_advisory_xact_lock(
    1398035267, format('%I.pending_stock_operations', $1::text)::regclass::oid::integer)
