-- Claims nothing, of an account that there is not: else it would end before most of its work. But a probe that
-- is due it would take, so it is to be rolled back.
SELECT count(*) FROM :"schema".stock_sync_claim(
    0, '00000000-0000-0000-0000-000000000000', 0, '', '{""}', '{2000-01-01}', '{0}')
