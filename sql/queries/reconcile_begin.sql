-- Whether flags may be read now: the reason why not (NULL: they may), the accounts that are parked or paused,
-- and the database's time.
SELECT (SELECT CASE WHEN c.paused_until > now()
                    THEN 'everything is paused by ' || coalesce(c.paused_by, 'somebody')
                    WHEN c.is_open
                    THEN 'the service is away: ' || coalesce(c.reason, 'its circuit is open') END
        FROM :"schema".stock_sync_circuits c WHERE c.token_id = '') AS held_because,
       ARRAY(SELECT c.token_id FROM :"schema".stock_sync_circuits c
             WHERE c.token_id <> '' AND (c.is_open OR c.paused_until > now())) AS held_tokens,
       now() AS now
