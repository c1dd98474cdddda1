-- What happened to the operation $1, in order. Its birth is the row itself: the order system's INSERT
-- does not pay for a log entry.
SELECT NULL::bigint AS id, o.id AS operation_id, 'created' AS action, 'pending' AS status,
       '{}'::jsonb AS details, o.created_at AS "timestamp", NULL::integer AS execution_time_ms
FROM :"schema".pending_stock_operations o
WHERE o.id = $1
UNION ALL
SELECT l.id, l.operation_id, l.action, l.status, l.details, l."timestamp", l.execution_time_ms
FROM :"schema".stock_synchronization_logs l
WHERE l.operation_id = $1
-- By number, not by time: a row's lock lets its changes happen one after the other.
ORDER BY id NULLS FIRST
