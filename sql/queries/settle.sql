-- Settles what came of pushes; gives the ids whose lease was lost, those that somebody else has locked,
-- those that are failed now, whether the circuits of all that was proven are clean, and what is counted.
-- Rows: $1 ids, sorted, $2 claim tokens, $3 statuses, $4 retry counts, $5 delays in seconds, $6 errors,
-- $7 actions for the log, $8 their details, $9 durations in ms.
-- Orders that were claimed themselves: $10 tokens, $11 ids, $12 claim tokens, $13 delays in seconds,
-- $14 actions for the log of their newest row, $15 their details, $16 durations in ms.
-- Failed rows now proven: $17 ids, sorted, $18 claim tokens of their orders, $19 details for the log.
-- Orders whose call may be applied later: $20 tokens, $21 ids.
-- Rows again: $22 when a failure does not count as a retry, $23 the delay in seconds then.
-- $24 the accounts whose probe has ended ('': the service's).
SELECT lost_ids, blocked_ids, given_up_ids, is_clean,
       completed_ages, first_tries, retried_seconds, row_retries
FROM :"schema".stock_sync_settle(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
    $19, $20, $21, $22, $23, $24)
