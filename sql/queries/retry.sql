-- Makes the operations $1 due now, as if they had never failed, by the hand of $2. Gives each that
-- there is with the status that it had, and whether it was changed: only pending and failed ones are;
-- with a time $3 only those that had failed by then (NULL: no matter when).
WITH asked AS MATERIALIZED (
    SELECT o.id, o.status FROM :"schema".pending_stock_operations o WHERE o.id = ANY ($1::uuid[])),
-- Rows in flight are not even locked: their settling would wait for us, and we perhaps for it. Nor is
-- anybody waited for: all claiming waits for the lock that the caller holds.
locked AS MATERIALIZED (
    SELECT o.id FROM :"schema".pending_stock_operations o
    WHERE o.id = ANY ($1::uuid[]) AND o.status IN ('pending', 'failed')
      AND ($3::timestamptz IS NULL OR (o.status = 'failed' AND o.updated_at <= $3))
    ORDER BY o.id FOR UPDATE SKIP LOCKED),
changed AS (
    UPDATE :"schema".pending_stock_operations o
    SET status = 'pending', retry_count = 0, error_message = NULL,
        next_retry_at = clock_timestamp(), updated_at = clock_timestamp()
    -- An array, not a join: see stock_sync_settle.
    WHERE o.id = ANY (ARRAY(SELECT l.id FROM locked l))
    RETURNING o.id),
logged AS (
    INSERT INTO :"schema".stock_synchronization_logs (operation_id, action, status, details)
    SELECT c.id, 'manual_retry', 'pending', jsonb_build_object('by', $2::text)
    FROM changed c ORDER BY c.id)
SELECT a.id, a.status, c.id IS NOT NULL AS is_changed FROM asked a LEFT JOIN changed c USING (id)
