-- Adds to the present minute what a daemon counted: $1 attempts, $2 unproven of them, $3 orders pushed,
-- $4 rows completed, $5 of them with one attempt, $6 the seconds that the others took, $7 rows failed,
-- $8 row retries, $9 the attempts' milliseconds, $10 those of the slowest, $11 how many seconds ago the
-- last row was completed and $12 the first of these (NULL: none was).
INSERT INTO :"schema".stock_sync_minutes AS m
    (minute, attempts, unproven, orders_pushed, rows_completed, rows_first_try, retried_seconds,
     rows_failed, row_retries, push_ms, slowest_push_ms, last_completed_at,
     first_completed_at)
VALUES (date_trunc('minute', clock_timestamp()), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10,
        clock_timestamp() - $11::double precision * interval '1 second',
        clock_timestamp() - $12::double precision * interval '1 second')
ON CONFLICT (minute) DO UPDATE
SET attempts = m.attempts + excluded.attempts,
    unproven = m.unproven + excluded.unproven,
    orders_pushed = m.orders_pushed + excluded.orders_pushed,
    rows_completed = m.rows_completed + excluded.rows_completed,
    rows_first_try = m.rows_first_try + excluded.rows_first_try,
    retried_seconds = m.retried_seconds + excluded.retried_seconds,
    rows_failed = m.rows_failed + excluded.rows_failed,
    row_retries = m.row_retries + excluded.row_retries,
    push_ms = m.push_ms + excluded.push_ms,
    slowest_push_ms = greatest(m.slowest_push_ms, excluded.slowest_push_ms),
    last_completed_at = greatest(m.last_completed_at, excluded.last_completed_at),
    first_completed_at = least(m.first_completed_at, excluded.first_completed_at)
