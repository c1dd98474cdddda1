-- How the orders $2 of the accounts $1 stand for a comparison with the service, and what a difference would
-- lead to when one that settled within $3 hours is repaired.
SELECT * FROM :"schema".stock_sync_look($1, $2, $3)
