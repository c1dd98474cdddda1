-- What follows from the flags $4 that were read of the orders $2 of the accounts $1, which stood as $3 before;
-- what settled within $5 hours is repaired, by the hand of $6. Gives what became of each.
SELECT token_id, order_id, wanted, flag AS found, settled_at, act
FROM :"schema".stock_sync_reconcile($1, $2, $3, $4, $5, $6)
