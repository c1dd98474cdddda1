-- The first of the rows completed in a minute: just after an outage, how long the backlog takes is told from
-- what was done since then, and whole minutes would say seven times too much. Daemons of the version before
-- go on: they leave it NULL, and the minute's beginning counts.
ALTER TABLE :"schema".stock_sync_minutes ADD COLUMN first_completed_at timestamptz;
