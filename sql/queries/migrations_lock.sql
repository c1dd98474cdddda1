-- One migration run at a time for the schema $1, until the end of the transaction.
-- 1398035277: "STSM" in ASCII.
SELECT pg_advisory_xact_lock(1398035277, hashtext($1))
