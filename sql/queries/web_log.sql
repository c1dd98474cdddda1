-- The newest $2 log entries of the operations $1, oldest first.
SELECT id, operation_id, action, status, details, "timestamp", execution_time_ms
FROM (
    SELECT *
    FROM :"schema".stock_synchronization_logs
    WHERE operation_id = ANY ($1::uuid[])
    -- + 0: from their few entries, not by walking backwards through the log of all operations.
    ORDER BY id + 0 DESC LIMIT $2) l
ORDER BY id
