-- The first of the rows completed in a minute: just after an outage, how long the backlog takes is told from
-- what was done since then, and whole minutes would say seven times too much. Daemons of the version before
-- go on: they leave it NULL, and the minute's beginning counts. (In a minute that both write it is that of the
-- newer daemon's rows: beside an older one the rate may be told too high, until two minutes after that one.)
ALTER TABLE :"schema".stock_sync_minutes ADD COLUMN first_completed_at timestamptz;
