-- Log entries of the operations $1, oldest first: the newest of each, then the second newest of each
-- and so on, $2 in all.
SELECT id, operation_id, action, status, details, "timestamp", execution_time_ms
FROM (
    -- A window over their few entries: no walking backwards through the log of all operations.
    SELECT *, row_number() OVER (PARTITION BY operation_id ORDER BY id DESC) AS place
    FROM :"schema".stock_synchronization_logs
    WHERE operation_id = ANY ($1::uuid[])
    ORDER BY place, id DESC LIMIT $2) l
ORDER BY id
