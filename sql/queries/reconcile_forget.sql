-- Forgets repairs a day after the last one; orders of which nothing else is to be remembered go.
WITH needed AS (
    UPDATE :"schema".stock_sync_orders SET repairs = 0, repaired_at = NULL
    WHERE repaired_at < now() - interval '1 day'
      AND (claim_token IS NOT NULL OR push_due_at IS NOT NULL OR ambiguous_at IS NOT NULL
           OR balance <> 0))
DELETE FROM :"schema".stock_sync_orders
WHERE repaired_at < now() - interval '1 day'
  AND claim_token IS NULL AND push_due_at IS NULL AND ambiguous_at IS NULL AND balance = 0
