-- What a new connection tries, so that claim and settlement are planned before rows wait for them. It does
-- nothing, and what it would do (a probe that is due) is rolled back. One message to the server, which ends it
-- by itself: a daemon that is frozen in the middle would hold the lock of all claims.
BEGIN;
SET LOCAL lock_timeout = 100;
SELECT count(*) FROM :"schema".stock_sync_claim(
    0, '00000000-0000-0000-0000-000000000000', 0, '', '{""}', '{2000-01-01}', '{0}');
SELECT count(*) FROM :"schema".stock_sync_settle(
    '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}',
    '{}', '{}', '{}', '{}', '{}', '{}');
ROLLBACK
