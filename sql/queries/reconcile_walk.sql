-- One step of $5 rows over all orders after $1, of the account $2 or (NULL) of all: where it ended (NULL: there
-- are no more), those settled within $3 hours, and any $4 of the others, each with the lot it drew.
SELECT * FROM :"schema".stock_sync_walk($1, $2, $3, $4, $5)
