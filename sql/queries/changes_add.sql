-- A change of state that on-call shall hear of: at $1, of the kind $2, in the phase $3, of the account $4
-- ('': of all), with the facts $5.
INSERT INTO :"schema".stock_sync_changes (at, kind, phase, token_id, facts)
VALUES ($1, $2, $3, $4, $5)
