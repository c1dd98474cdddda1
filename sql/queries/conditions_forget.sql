-- Forgets the condition of the kind $1 and the account $2.
DELETE FROM :"schema".stock_sync_conditions WHERE kind = $1 AND token_id = $2
