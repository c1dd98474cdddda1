-- Cancels the operations $1 by the hand of $2, because of $3, and has their orders pushed again: the
-- sum is another one now. Gives each that there is with the status that it had, and whether it was
-- changed: only pending and failed ones are; with a time $4 only those that had failed by then (NULL: no
-- matter when).
WITH asked AS MATERIALIZED (
    SELECT o.id, o.status FROM :"schema".pending_stock_operations o WHERE o.id = ANY ($1::uuid[])),
-- Rows in flight are not even locked: their settling would wait for us, and we perhaps for it. Nor is
-- anybody waited for: all claiming waits for the lock that the caller holds.
locked AS MATERIALIZED (
    SELECT o.id FROM :"schema".pending_stock_operations o
    WHERE o.id = ANY ($1::uuid[]) AND o.status IN ('pending', 'failed')
      AND ($4::timestamptz IS NULL OR (o.status = 'failed' AND o.updated_at <= $4))
    ORDER BY o.id FOR UPDATE SKIP LOCKED),
changed AS (
    UPDATE :"schema".pending_stock_operations o
    SET status = 'cancelled', updated_at = clock_timestamp()
    -- An array, not a join: see stock_sync_settle.
    WHERE o.id = ANY (ARRAY(SELECT l.id FROM locked l))
    RETURNING o.id, o.token_id, o.order_id),
logged AS (
    INSERT INTO :"schema".stock_synchronization_logs (operation_id, action, status, details)
    SELECT c.id, 'cancelled', 'cancelled', jsonb_build_object('by', $2::text, 'reason', $3::text)
    FROM changed c ORDER BY c.id),
pushed_again AS (
    INSERT INTO :"schema".stock_sync_orders AS s (order_id, token_id, push_due_at)
    SELECT c.order_id, c.token_id, clock_timestamp() FROM changed c
    GROUP BY c.order_id, c.token_id
    -- Sorted as everywhere: two that touch the same orders never wait for each other crosswise.
    ORDER BY c.order_id, c.token_id
    ON CONFLICT (order_id, token_id) DO UPDATE
    SET push_due_at = least(s.push_due_at, excluded.push_due_at))
SELECT a.id, a.status, c.id IS NOT NULL AS is_changed FROM asked a LEFT JOIN changed c USING (id)
