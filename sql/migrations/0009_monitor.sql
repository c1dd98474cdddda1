-- What reconciling came to, in sums per minute as well: the daily report asks for it.
ALTER TABLE :"schema".stock_sync_minutes
    ADD COLUMN discrepancies_found    bigint NOT NULL DEFAULT 0,
    ADD COLUMN discrepancies_repaired bigint NOT NULL DEFAULT 0;  -- of these
