-- Settling says what came of it, in numbers and in events. Daemons of the version before go on: what
-- they ask for is still there.

-- The last of the rows completed in a minute.
ALTER TABLE :"schema".stock_sync_minutes ADD COLUMN last_completed_at timestamptz;

-- What failed before and is tried again: the order system's INSERT does not touch it.
CREATE INDEX pending_stock_operations_retrying
    ON :"schema".pending_stock_operations (next_retry_at)
    WHERE status = 'pending' AND error_message IS NOT NULL;

DROP FUNCTION :"schema".stock_sync_settle(
    uuid[], uuid[], text[], integer[], double precision[], text[], text[], text[], integer[],
    text[], text[], uuid[], double precision[], text[], text[], integer[],
    uuid[], uuid[], text[], text[], text[], text[], double precision[], text[]);

-- Settles what came of pushes: any mix of orders and outcomes, one call. All ids are sorted.
--
-- Why = ANY and a binary search (width_bucket) instead of a join with unnest: when an ANALYZE runs
-- in the middle of a bulk load, it notes a table of many pages and no rows. Until the next one the
-- planner takes any scan of it to be free, and joins by walking through all of the primary key
-- (100,000 rows: 15,600 ms a claim). An array can only be looked up.
--
-- Rows (p_ids …): the new status, retry count, error, and the delay in seconds until the next try
-- (NULL: keeps its time); p_actions is what the log says (NULL: nothing). Fenced by the claim token:
-- a row whose lease was lost is not touched, nor logged. These ids come back, and their orders are
-- marked ambiguous, because both the old and the new call may arrive.
-- Orders (p_order_tokens …): those that were claimed themselves; p_order_delays: seconds until they
-- are pushed again for their own sake (NULL: not); p_order_actions: what the log of the order's newest
-- row says of a push without rows (NULL: nothing).
-- p_failed_ids: rows that had failed and are part of a balance now proven; p_failed_claims: the claim
-- of their order, which fences them.
-- p_ambiguous_tokens, p_ambiguous_orders: orders whose call may be applied later.
--
-- p_uncounted: whether a failure of the row counts as a retry. NULL: it does. 'unproven': only if
-- something was proven since the row's attempt before this one: a row alone in a night-long outage
-- burns one. 'probe': never; it goes to the end of its account's queue, and another one is next. What
-- does not count leaves the row pending with its retry count, p_delays_uncounted later; while a
-- circuit is open, which holds it back anyway, at once.
-- p_probed: the circuits whose probe has ended ('': the service's).
--
-- A row that somebody else has locked is passed over, not waited for: all other orders would wait too,
-- and lose their leases. Its id comes back in blocked_ids, to be settled later.
--
-- Gives the ids whose lease was lost, the blocked ones, those that are failed now, and whether the
-- circuits of all that was proven are clean: if not, they must be told. Then what is counted:
-- completed_ages, the seconds since its insert of each row completed; first_tries, how many of these
-- took one attempt; retried_seconds, the sum over the others; row_retries, the rows whose retry counted.
--
-- On-call hears of rows that failed for good and of negative balances by events, which are written here,
-- in the transaction in which it happens.
CREATE FUNCTION :"schema".stock_sync_settle(
    p_ids uuid[], p_claims uuid[], p_statuses text[], p_retry_counts integer[],
    p_delays double precision[], p_errors text[], p_actions text[], p_details text[], p_ms integer[],
    p_order_tokens text[], p_order_ids text[], p_order_claims uuid[],
    p_order_delays double precision[], p_order_actions text[], p_order_details text[],
    p_order_ms integer[],
    p_failed_ids uuid[], p_failed_claims uuid[], p_failed_details text[],
    p_ambiguous_tokens text[], p_ambiguous_orders text[],
    p_uncounted text[], p_delays_uncounted double precision[], p_probed text[],
    OUT lost_ids uuid[], OUT blocked_ids uuid[], OUT given_up_ids uuid[], OUT is_clean boolean,
    OUT completed_ages double precision[], OUT first_tries integer,
    OUT retried_seconds double precision, OUT row_retries integer)
LANGUAGE plpgsql VOLATILE
SET search_path = :"schema", pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $settle$
DECLARE
    v_now     timestamptz := clock_timestamp();
    v_service stock_sync_circuits;
    v_open    text[];
    v_proven  text[];
    v_mine    uuid[];
    v_settled uuid[];
    v_late_ages double precision[];
    v_lost_tokens text[];
    v_lost_orders text[];
BEGIN
    SELECT * INTO v_service FROM stock_sync_circuits c WHERE c.token_id = '';
    v_open := ARRAY(SELECT c.token_id FROM stock_sync_circuits c WHERE c.is_open);
    -- The claim token says "processing" (a CHECK). Said here in words, it would let the planner scan
    -- the in-flight index once per row, which it believes to be empty (9.8 -> 23.7 ms).
    v_mine := ARRAY(
        SELECT o.id FROM pending_stock_operations o
        WHERE o.id = ANY (p_ids) AND o.claim_token = p_claims[width_bucket(o.id, p_ids)]
        FOR UPDATE SKIP LOCKED);
    WITH settled AS (
        UPDATE pending_stock_operations o
        SET (status, retry_count, next_retry_at, error_message, completed_at) = (
                SELECT CASE WHEN c.counts THEN p_statuses[n] ELSE 'pending' END,
                       CASE WHEN c.counts THEN p_retry_counts[n] ELSE o.retry_count END,
                       CASE WHEN p_actions[n] IS NULL OR p_statuses[n] = 'completed'
                                THEN o.next_retry_at
                            WHEN p_uncounted[n] = 'probe' OR v_open && ARRAY['', o.token_id]
                                THEN v_now
                            WHEN c.counts THEN coalesce(
                                v_now + p_delays[n] * interval '1 second', o.next_retry_at)
                            ELSE v_now + p_delays_uncounted[n] * interval '1 second' END,
                       CASE WHEN p_statuses[n] <> 'completed'
                            THEN coalesce(p_errors[n], o.error_message) END,
                       CASE WHEN p_statuses[n] = 'completed' THEN v_now END
                FROM width_bucket(o.id, p_ids) n
                CROSS JOIN LATERAL (
                    SELECT CASE p_uncounted[n]
                           WHEN 'probe' THEN false
                           WHEN 'unproven' THEN
                               o.attempted_at IS NULL OR v_service.proven_at > o.attempted_at
                           ELSE true END IS TRUE) c (counts)),
            attempts = o.attempts + 1, attempted_at = v_now, updated_at = v_now,
            claim_token = NULL, claim_no = NULL, lease_until = NULL
        WHERE o.id = ANY (v_mine)
        RETURNING o.id, o.token_id, o.order_id, o.status, o.attempts, o.retry_count, o.error_message,
            extract(epoch FROM v_now - o.created_at)::double precision AS age,
            width_bucket(o.id, p_ids) AS n),
    told AS MATERIALIZED (
        SELECT s.*, p_actions[s.n] AS action, p_details[s.n]::jsonb AS details FROM settled s),
    logged AS (
        INSERT INTO stock_synchronization_logs
            (operation_id, action, status, details, "timestamp", execution_time_ms)
        -- Failed for good in the daemon's eyes, and yet pending: it did not count.
        SELECT t.id, CASE WHEN t.status = 'pending' AND t.action = 'failed' THEN 'retry'
                          ELSE t.action END, t.status, t.details, v_now, p_ms[t.n]
        FROM told t WHERE t.action IS NOT NULL),
    events AS (
        INSERT INTO stock_sync_events (at, kind, token_id, order_id, operation_id, details)
        SELECT v_now, 'failed', t.token_id, t.order_id, t.id,
               jsonb_build_object('error', t.error_message)
        FROM told t WHERE t.status = 'failed'
        UNION ALL
        -- Once for an order, however many rows it has.
        SELECT v_now, 'negative', t.token_id, t.order_id, NULL,
               jsonb_build_object('balance', min((t.details ->> 'balance')::bigint))
        FROM told t
        WHERE t.status = 'completed' AND (t.details ->> 'balance')::bigint < 0
        GROUP BY t.token_id, t.order_id)
    SELECT array_agg(t.id), array_agg(t.id) FILTER (WHERE t.status = 'failed'),
           coalesce(array_agg(t.age) FILTER (WHERE t.status = 'completed'), '{}'),
           count(*) FILTER (WHERE t.status = 'completed' AND t.attempts = 1),
           coalesce(sum(t.age) FILTER (WHERE t.status = 'completed' AND t.attempts > 1), 0),
           -- One that did not count kept its number.
           count(*) FILTER (WHERE t.status = 'pending' AND t.action = 'retry'
                              AND t.retry_count = p_retry_counts[t.n])
    INTO v_settled, given_up_ids, completed_ages, first_tries, retried_seconds, row_retries
    FROM told t;

    lost_ids := '{}';
    blocked_ids := '{}';
    IF cardinality(p_ids) > coalesce(cardinality(v_settled), 0) THEN
        blocked_ids := ARRAY(
            SELECT o.id FROM pending_stock_operations o
            WHERE o.id = ANY (p_ids) AND o.claim_token = p_claims[width_bucket(o.id, p_ids)]);
        lost_ids := ARRAY(
            SELECT unnest(p_ids) EXCEPT SELECT unnest(v_settled) EXCEPT SELECT unnest(blocked_ids));
        SELECT array_agg(o.token_id), array_agg(o.order_id) INTO v_lost_tokens, v_lost_orders
        FROM pending_stock_operations o WHERE o.id = ANY (lost_ids);
    END IF;

    IF cardinality(p_failed_ids) > 0 THEN
        WITH proven AS (
            UPDATE pending_stock_operations o
            SET status = 'completed', error_message = NULL, completed_at = v_now, updated_at = v_now
            WHERE o.id = ANY (p_failed_ids) AND o.status || '' = 'failed'
              AND EXISTS (
                  SELECT 1 FROM stock_sync_orders s
                  WHERE s.order_id = o.order_id AND s.token_id = o.token_id
                    AND s.claim_token = p_failed_claims[width_bucket(o.id, p_failed_ids)] OFFSET 0)
            RETURNING o.id, width_bucket(o.id, p_failed_ids) AS n,
                extract(epoch FROM v_now - o.created_at)::double precision AS age),
        logged AS (
            INSERT INTO stock_synchronization_logs
                (operation_id, action, status, details, "timestamp")
            SELECT p.id, 'completed', 'completed', p_failed_details[p.n]::jsonb, v_now FROM proven p)
        SELECT array_agg(p.age), retried_seconds + coalesce(sum(p.age), 0)
        INTO v_late_ages, retried_seconds FROM proven p;
        completed_ages := completed_ages || v_late_ages;
    END IF;

    IF cardinality(p_order_ids) > 0 THEN
        WITH own AS MATERIALIZED (
            SELECT * FROM unnest(p_order_tokens, p_order_ids, p_order_claims, p_order_delays,
                                 p_order_actions, p_order_details, p_order_ms)
                t (token_id, order_id, claim_token, delay, action, details, ms)),
        settled AS (
            UPDATE stock_sync_orders s
            SET claim_token = NULL, lease_until = NULL,
                attempt = CASE WHEN t.delay IS NULL THEN 0
                               WHEN v_open && ARRAY['', s.token_id] THEN s.attempt
                               ELSE s.attempt + 1 END,
                -- Somebody may have asked for a push meanwhile: the earlier time counts.
                push_due_at = least(s.push_due_at, CASE
                    WHEN t.delay IS NULL THEN NULL
                    WHEN v_open && ARRAY['', s.token_id] THEN v_now
                    ELSE v_now + t.delay * interval '1 second' END)
            FROM own t
            WHERE s.order_id = t.order_id AND s.token_id = t.token_id
              AND s.claim_token = t.claim_token
            RETURNING s.order_id, s.token_id, t.action, t.details, t.ms),
        logged AS (
            INSERT INTO stock_synchronization_logs
                (operation_id, action, status, details, "timestamp", execution_time_ms)
            SELECT n.id, s.action, n.status, s.details::jsonb, v_now, s.ms
            FROM settled s CROSS JOIN LATERAL (
                SELECT o.id, o.status FROM pending_stock_operations o
                WHERE o.order_id = s.order_id AND o.token_id = s.token_id
                ORDER BY o.seq DESC LIMIT 1) n
            WHERE s.action IS NOT NULL),
        -- Without a row of its own to tell it.
        events AS (
            INSERT INTO stock_sync_events (at, kind, token_id, order_id, details)
            SELECT v_now, 'negative', s.token_id, s.order_id,
                   jsonb_build_object('balance', (s.details::jsonb ->> 'balance')::bigint)
            FROM settled s
            WHERE s.action = 'pushed_again' AND (s.details::jsonb ->> 'balance')::bigint < 0)
        SELECT v_lost_tokens || array_agg(t.token_id), v_lost_orders || array_agg(t.order_id)
        INTO v_lost_tokens, v_lost_orders
        FROM own t LEFT JOIN settled s USING (order_id, token_id) WHERE s.order_id IS NULL;

        -- Nothing left to remember: the table holds only orders in need.
        DELETE FROM stock_sync_orders s
        USING unnest(p_order_tokens, p_order_ids) t (token_id, order_id)
        WHERE s.order_id = t.order_id AND s.token_id = t.token_id
          AND s.claim_token IS NULL AND s.push_due_at IS NULL
          AND s.ambiguous_at IS NULL AND s.balance = 0 AND s.balance_until IS NULL
          AND s.repairs = 0;
    END IF;

    IF cardinality(p_ambiguous_orders) > 0 OR v_lost_orders IS NOT NULL THEN
        PERFORM stock_sync_mark_ambiguous(
            p_ambiguous_tokens || v_lost_tokens, p_ambiguous_orders || v_lost_orders);
    END IF;

    -- Proofs end probes, and keep the time of the last one, to a second.
    IF cardinality(p_probed) > 0 THEN
        UPDATE stock_sync_circuits c SET probe_until = NULL WHERE c.token_id = ANY (p_probed);
    END IF;
    v_proven := ARRAY(SELECT o.token_id FROM pending_stock_operations o
                      WHERE o.id = ANY (v_settled) AND o.completed_at = v_now);
    is_clean := true;
    IF cardinality(v_proven) > 0 THEN
        UPDATE stock_sync_circuits c SET proven_at = v_now
        WHERE c.token_id = ''
          AND (c.proven_at IS NULL OR c.proven_at < v_now - interval '1 second' OR NOT c.is_clean);
        is_clean := NOT EXISTS (SELECT 1 FROM stock_sync_circuits c
                                WHERE (c.token_id = '' OR c.token_id = ANY (v_proven))
                                  AND NOT c.is_clean OFFSET 0);
    END IF;
END $settle$;
