-- Takes the events out: all those of circuits, of the others the $1 oldest. `status` is the one that the
-- event's operation has now (NULL: it has none, or is gone).
WITH taken AS (
    DELETE FROM :"schema".stock_sync_events e
    WHERE e.kind IN ('circuit_opened', 'circuit_closed')
       OR e.id IN (SELECT n.id FROM :"schema".stock_sync_events n
                   WHERE n.kind NOT IN ('circuit_opened', 'circuit_closed')
                   ORDER BY n.id LIMIT $1)
    RETURNING e.*)
SELECT t.id, t.at, t.kind, t.token_id, t.order_id, t.operation_id, t.details, o.status
FROM taken t
LEFT JOIN :"schema".pending_stock_operations o ON o.id = t.operation_id
ORDER BY t.id
