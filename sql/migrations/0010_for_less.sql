-- The same promises for less: what a claim and a settlement cost the database, and what an INSERT costs
-- the order system. CPU of the backend, interleaved, 2 cores, 500 orders of one row a statement: claim
-- 69 -> 62 us a row, settle 65 -> 50; a claim that finds nothing 1.3 -> 0.8 ms. Daemons of the version
-- before go on: names and answers are the same.
--
-- What was tried and is not here: a fillfactor of 50, 80 or 90 (no difference: an update of an indexed
-- column never stays in its page's chain); a window of one row an order instead of three (8 us an order
-- less where each has one row, but accounts whose orders have more get less than their turns); settings of
-- autovacuum (100,000 rows claimed and settled with no vacuum at all: as fast at the end as at the
-- beginning; a scale factor of 0.02 instead of 0.2: the same speed, the same size).

-- Claims up to p_limit due orders for p_lease_seconds: all their pending rows become processing
-- under p_claim_token. Orders with failed rows, and orders that are to be pushed for their own sake,
-- are claimed in stock_sync_orders as well.
--
-- One row per order: its balance; of each claimed row the id, whether it was due, its retries and
-- limit; the failed rows that are part of the balance; whether the order itself is claimed; how often
-- it was pushed in a row for its own sake without success (NULL: it goes for its rows alone); whether
-- it is a probe, of the service or of its account; its place in the queue (head_at, head_seq).
-- Then one row without an order: its token_id says where the next claim begins (p_after: accounts
-- take turns; '' when all had theirs), is_probe whether the service's circuit is open or paused.
--
-- p_accounts, p_head_at, p_head_seq: look at these accounts only, each from this place on. Rows that
-- were claimed before it are dead, but while any old snapshot is held in the database they cannot be
-- removed, and every claim would walk over them again (4.7 -> 16.7 ms after 50,000; with places 5.4).
-- Empty: look at everything. Rows may appear before a place (late commits, due retries, releases), so
-- the caller looks at everything at least once per poll interval and whenever a claim came back short.
CREATE OR REPLACE FUNCTION :"schema".stock_sync_claim(
    p_limit integer, p_claim_token uuid, p_lease_seconds double precision, p_after text,
    p_accounts text[], p_head_at timestamptz[], p_head_seq bigint[])
RETURNS TABLE (
    token_id text, order_id text, balance bigint,
    ids uuid[], are_due boolean[], retry_counts integer[], max_retries integer[],
    failed_ids uuid[], is_order_claimed boolean, attempt integer, is_probe boolean,
    head_at timestamptz, head_seq bigint)
LANGUAGE plpgsql VOLATILE
-- The queue is empty most of the time, and that is what the planner's statistics say. With these
-- settings the plan is the same whatever they say (NOT EXISTS turned into a join: 4,459 ms).
SET search_path = :"schema", pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_bitmapscan = off  -- for a few rows an order: 69 -> 62 us of CPU an order
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $claim$
#variable_conflict use_column
DECLARE
    v_now      timestamptz;
    v_lease    interval := make_interval(secs => p_lease_seconds);
    v_limit    integer := p_limit;
    v_service  stock_sync_circuits;
    v_accounts text[] := p_accounts;
    v_head_at  timestamptz[] := p_head_at;
    v_head_seq bigint[] := p_head_seq;
    v_probed   text[];
    v_tokens   text[];
    v_orders   text[];
    v_at       timestamptz[];
    v_seq      bigint[];
    v_own_tokens text[] := '{}';
    v_own_orders text[] := '{}';
    v_own_count integer;
    v_window   integer;
    v_spare    integer := 20;
    v_is_cut   boolean;
    v_taken    integer;
    v_count    integer := 0;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'stock_sync_claim needs READ COMMITTED: with an older snapshot than its lock '
                        'it would claim what another daemon holds';
    END IF;

    -- 1. One claimer at a time. A statement of its own: the next one's snapshot must be newer than
    --    the lock. Row locks do not do it: two claimers can lock different rows of one order when an
    --    older row of it is committed late. 1398035267: "STSC" in ASCII.
    PERFORM pg_advisory_xact_lock(
        1398035267, 'pending_stock_operations'::regclass::oid::integer);
    v_now := clock_timestamp();

    -- 2. What may go. While the service's circuit is open, a single order goes as its probe, of another
    --    account each time: a parked one only when there is no other.
    SELECT * INTO v_service FROM stock_sync_circuits c WHERE c.token_id = '';
    IF v_service.paused_until > v_now
       OR (v_service.is_open AND (v_service.probe_at > v_now OR v_service.probe_until > v_now)) THEN
        token_id := p_after;
        is_probe := true;
        RETURN NEXT;
        RETURN;
    END IF;

    -- 3. Orders to be pushed for their own sake: a quarter of the claim at most, as fresh rows must not
    --    wait for them (of a claim of one to three: one, sometimes).
    IF NOT v_service.is_open THEN
        SELECT * INTO v_own_tokens, v_own_orders FROM stock_sync_orders_to_push(
            CASE WHEN p_limit >= 4 THEN p_limit / 4 ELSE (random() < p_limit / 4.0)::integer END,
            v_now, false);
    END IF;

    -- 4. Accounts with due rows: as many as there is room for, so that none loses its turn.
    IF v_service.is_open THEN
        v_limit := 1;
        v_accounts := stock_sync_due_accounts(v_service.probe_after, 1, v_now, false);
        IF cardinality(v_accounts) = 0 THEN
            v_accounts := stock_sync_due_accounts(v_service.probe_after, 1, v_now, true);
        END IF;
    ELSIF cardinality(p_accounts) = 0 OR EXISTS (
        SELECT 1 FROM stock_sync_circuits c
        WHERE c.token_id = ANY (p_accounts) AND (c.is_open OR c.paused_until > v_now)) THEN
        v_accounts := stock_sync_due_accounts(
            p_after, p_limit - cardinality(v_own_orders), v_now, false);
    END IF;
    IF v_accounts IS DISTINCT FROM p_accounts THEN
        v_head_at := array_fill('-infinity'::timestamptz, ARRAY[cardinality(v_accounts)]);
        v_head_seq := array_fill(0::bigint, ARRAY[cardinality(v_accounts)]);
    END IF;
    -- Not asked for above, or not surely.
    IF cardinality(v_accounts) = 0 AND cardinality(v_own_orders) = 0
       AND (v_service.is_open OR p_limit < 4) THEN
        SELECT * INTO v_own_tokens, v_own_orders
        FROM stock_sync_orders_to_push(v_limit, v_now, v_service.is_open);
    END IF;
    v_own_count := cardinality(v_own_orders);
    -- Most looks find nothing: 1.3 -> 0.8 ms.
    IF cardinality(v_accounts) = 0 AND v_own_count = 0 THEN
        token_id := '';
        is_probe := v_service.is_open;
        RETURN NEXT;
        RETURN;
    END IF;
    v_probed := ARRAY(SELECT c.token_id FROM stock_sync_circuits c
                      WHERE c.token_id = ANY (v_accounts) AND c.is_open);

    -- 5. Due orders: each account's oldest first, accounts in turn. A window of rows per account is
    --    enough for its share of orders with three rows each; it widens when that was too few.
    v_window := 3 * ceil(v_limit::numeric / greatest(1, cardinality(v_accounts))) + 5;
    LOOP
        WITH candidate AS MATERIALIZED (
            SELECT a.token_id, q.order_id, q.at, q.seq, q.turn, q.row_count
            FROM unnest(v_accounts, v_head_at, v_head_seq) a (token_id, at, seq)
            CROSS JOIN LATERAL (
                SELECT w.order_id, min(w.next_retry_at) AS at, min(w.seq) AS seq,
                       row_number() OVER (ORDER BY min(w.next_retry_at), min(w.seq)) AS turn,
                       sum(count(*)) OVER () AS row_count
                FROM (SELECT o.order_id, o.next_retry_at, o.seq
                      FROM pending_stock_operations o
                      WHERE o.status = 'pending' AND o.token_id = a.token_id
                        AND (o.next_retry_at, o.seq) >= (a.at, a.seq)
                        AND o.next_retry_at <= v_now
                      ORDER BY o.next_retry_at, o.seq LIMIT v_window) w
                GROUP BY w.order_id) q),
        chosen AS MATERIALIZED (
            SELECT t.token_id, t.order_id, t.at, t.seq
            -- OFFSET 0: the order first, then look up what is busy, and stop at the limit. Some more
            -- than are wanted: those that somebody else holds are passed over below.
            FROM (SELECT c.* FROM candidate c ORDER BY c.turn, c.token_id OFFSET 0) t
            -- Of an account that is probed one order, also when its window was cut and this is not the
            -- first pass.
            WHERE (t.token_id <> ALL (v_probed)
                   OR t.turn = 1 AND v_count = 0 AND t.token_id <> ALL (v_own_tokens))
              AND NOT EXISTS (SELECT 1 FROM pending_stock_operations o
                              WHERE o.status = 'processing'
                                AND o.order_id = t.order_id AND o.token_id = t.token_id OFFSET 0)
              AND NOT EXISTS (SELECT 1 FROM stock_sync_orders s
                              WHERE s.claim_token IS NOT NULL
                                AND s.order_id = t.order_id AND s.token_id = t.token_id OFFSET 0)
              AND NOT EXISTS (SELECT 1 FROM unnest(v_own_tokens, v_own_orders) w (token_id, order_id)
                              WHERE w.order_id = t.order_id AND w.token_id = t.token_id)
            LIMIT v_limit - v_count + v_spare)
        SELECT array_agg(c.token_id), array_agg(c.order_id), array_agg(c.at), array_agg(c.seq),
               count(*) >= v_limit - v_count + v_spare OR (
                   SELECT bool_or(row_count >= v_window AND token_id <> ALL (v_probed)) FROM candidate)
        INTO v_tokens, v_orders, v_at, v_seq, v_is_cut FROM chosen c;

        -- 6. Take them: lock every pending row, sum, mark. Whole orders or nothing: when somebody else
        --    holds one of its rows (locked = pending does not hold), the order waits for the next claim.
        --    So the balance is the sum over exactly the rows of one snapshot, all pending ones claimed.
        RETURN QUERY
        WITH taken AS MATERIALIZED (
            SELECT c.token_id, c.order_id, c.at, c.seq, l.ids, l.are_due, l.retry_counts, l.max_retries,
                   b.balance, b.failed_ids, s.push_due_at IS NOT NULL OR b.failed_ids IS NOT NULL AS is_own,
                   CASE WHEN s.push_due_at IS NOT NULL THEN s.attempt END AS attempt
            FROM (SELECT w.token_id, w.order_id, NULL::timestamptz AS at, NULL::bigint AS seq
                  FROM unnest(v_own_tokens, v_own_orders) w (token_id, order_id)
                  UNION ALL
                  SELECT d.token_id, d.order_id, d.at, d.seq
                  FROM unnest(v_tokens, v_orders, v_at, v_seq) d (token_id, order_id, at, seq)) c
            CROSS JOIN LATERAL (
                SELECT array_agg(r.id ORDER BY r.seq) AS ids,
                       array_agg(r.is_due ORDER BY r.seq) AS are_due,
                       array_agg(r.retry_count ORDER BY r.seq) AS retry_counts,
                       array_agg(r.max_retries ORDER BY r.seq) AS max_retries,
                       count(*) AS locked_count, coalesce(bool_or(r.is_due), false) AS is_due
                FROM (SELECT o.id, o.seq, o.next_retry_at <= v_now AS is_due, o.retry_count, o.max_retries
                      FROM pending_stock_operations o
                      -- || '': otherwise the planner may answer it from the due index, by reading all
                      -- of the account.
                      WHERE o.order_id = c.order_id AND o.token_id = c.token_id
                        AND o.status || '' = 'pending'
                      FOR UPDATE SKIP LOCKED) r) l
            CROSS JOIN LATERAL stock_sync_order(c.token_id, c.order_id) b
            LEFT JOIN LATERAL (
                SELECT s.push_due_at, s.attempt FROM stock_sync_orders s
                WHERE s.order_id = c.order_id AND s.token_id = c.token_id OFFSET 0) s ON true
            WHERE l.locked_count = b.pending_count AND (l.is_due OR s.push_due_at <= v_now)
            -- Lazily: what is not wanted any more is not locked.
            LIMIT v_limit - v_count),
        numbered AS MATERIALIZED (
            SELECT array_agg(r.id ORDER BY r.id) AS ids, array_agg(r.no::integer ORDER BY r.id) AS nos
            FROM taken t CROSS JOIN LATERAL unnest(t.ids) WITH ORDINALITY r (id, no)),
        rows_marked AS (
            -- By = ANY and a binary search (width_bucket) instead of a join: see 0004_settle.sql.
            UPDATE pending_stock_operations o
            SET status = 'processing', claim_token = p_claim_token,
                claim_no = (SELECT nos FROM numbered)[
                    width_bucket(o.id, (SELECT n.ids FROM numbered n))],
                lease_until = v_now + v_lease, updated_at = v_now
            WHERE o.id = ANY ((SELECT n.ids FROM numbered n)::uuid[])),
        orders_marked AS (
            INSERT INTO stock_sync_orders AS s (order_id, token_id, claim_token, lease_until)
            SELECT t.order_id, t.token_id, p_claim_token, v_now + v_lease FROM taken t WHERE t.is_own
            -- push_due_at goes: who asks for another push meanwhile sets it again.
            ON CONFLICT ON CONSTRAINT stock_sync_orders_pkey DO UPDATE
            SET claim_token = excluded.claim_token, lease_until = excluded.lease_until, push_due_at = NULL),
        probes_marked AS (
            UPDATE stock_sync_circuits c
            SET probes = c.probes + 1, probe_after = (SELECT max(t.token_id) FROM taken t),
                -- After 1 s (said when it opened), then 2, 4, 8, 16, 30.
                probe_at = v_now + least(30, 2 ^ least(c.probes + 1, 5)) * interval '1 second',
                -- A push is over within half of its lease.
                probe_until = v_now + v_lease / 2
            WHERE c.is_open AND EXISTS (SELECT 1 FROM taken)
              AND c.token_id = ANY (CASE WHEN v_service.is_open THEN ARRAY['']
                                         ELSE ARRAY(SELECT t.token_id FROM taken t) END))
        SELECT t.token_id, t.order_id, t.balance, t.ids, t.are_due, t.retry_counts, t.max_retries,
               t.failed_ids, t.is_own, t.attempt,
               v_service.is_open OR EXISTS (SELECT 1 FROM stock_sync_circuits c
                                            WHERE c.token_id = t.token_id AND c.is_open OFFSET 0),
               t.at, t.seq
        FROM taken t;

        GET DIAGNOSTICS v_taken = ROW_COUNT;
        v_count := v_count + v_taken;
        v_own_tokens := '{}';
        v_own_orders := '{}';
        -- 100,000: ten times the largest order we know of.
        EXIT WHEN v_count >= v_limit OR NOT coalesce(v_is_cut, false) OR v_window >= 100000;
        v_window := CASE WHEN v_window < 4 * v_limit THEN 4 * v_limit ELSE v_window * 32 END;
        v_spare := v_window;
    END LOOP;

    token_id := CASE WHEN cardinality(p_accounts) = 0 AND cardinality(v_accounts) > 0
                          AND cardinality(v_accounts) >= v_limit - v_own_count
                     THEN v_accounts[cardinality(v_accounts)] ELSE '' END;
    is_probe := v_service.is_open;
    RETURN NEXT;
END $claim$;

-- Settles what came of pushes: any mix of orders and outcomes, one call. All ids are sorted.
--
-- Why = ANY and a binary search (width_bucket) instead of a join with unnest: when an ANALYZE runs
-- in the middle of a bulk load, it notes a table of many pages and no rows. Until the next one the
-- planner takes any scan of it to be free, and joins by walking through all of the primary key
-- (100,000 rows: 15,600 ms a claim). An array can only be looked up.
--
-- Rows (p_ids …): the new status, retry count, error, and the delay in seconds until the next try
-- (NULL: keeps its time); p_actions is what the log says (NULL: nothing, of a row that was not proven). Fenced by the claim token:
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
-- Rows are found and locked once, by id; a locked row does not move, so the statements after that find
-- it by its place (ctid). Arrays go into width_bucket as (SELECT p_ids): a parameter as such is unpacked
-- anew for each row.
--
-- Gives the ids whose lease was lost, the blocked ones, those that are failed now, and whether the
-- circuits of all that was proven are clean: if not, they must be told. Then what is counted:
-- completed_ages, the seconds since its insert of each row completed; first_tries, how many of these
-- took one attempt; retried_seconds, the sum over the others; row_retries, the rows whose retry counted.
--
-- On-call hears of rows that failed for good and of negative balances by events, which are written here,
-- in the transaction in which it happens.
CREATE OR REPLACE FUNCTION :"schema".stock_sync_settle(
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
    v_rows    tid[];
    v_others  tid[];
    v_settled uuid[];
    v_other_settled uuid[];
    v_late_ages double precision[];
    v_lost_tokens text[];
    v_lost_orders text[];
BEGIN
    SELECT * INTO v_service FROM stock_sync_circuits c WHERE c.token_id = '';
    v_open := ARRAY(SELECT c.token_id FROM stock_sync_circuits c WHERE c.is_open);
    -- The claim token says "processing" (a CHECK). Said here in words, it would let the planner scan
    -- the in-flight index once per row, which it believes to be empty (9.8 -> 23.7 ms).
    SELECT array_agg(m.ctid) FILTER (WHERE p_statuses[m.n] = 'completed'),
           array_agg(m.ctid) FILTER (WHERE p_statuses[m.n] <> 'completed')
    INTO v_rows, v_others FROM (
        SELECT o.ctid, width_bucket(o.id, (SELECT p_ids)) AS n FROM pending_stock_operations o
        WHERE o.id = ANY (p_ids) AND o.claim_token = p_claims[width_bucket(o.id, (SELECT p_ids))]
        FOR UPDATE SKIP LOCKED) m;

    -- What was proven: nearly always all of it, so this is what a row costs.
    WITH settled AS (
        UPDATE pending_stock_operations o
        SET status = 'completed', error_message = NULL, completed_at = v_now,
            attempts = o.attempts + 1, attempted_at = v_now, updated_at = v_now,
            claim_token = NULL, claim_no = NULL, lease_until = NULL
        WHERE o.ctid = ANY (v_rows)
        RETURNING o.id, o.token_id, o.order_id, o.attempts,
            extract(epoch FROM v_now - o.created_at)::double precision AS age,
            width_bucket(o.id, (SELECT p_ids)) AS n),
    told AS MATERIALIZED (
        SELECT s.*, p_details[s.n]::jsonb AS details FROM settled s),
    logged AS (
        INSERT INTO stock_synchronization_logs
            (operation_id, action, status, details, "timestamp", execution_time_ms)
        SELECT t.id, p_actions[t.n], 'completed', t.details, v_now, p_ms[t.n] FROM told t),
    events AS (
        INSERT INTO stock_sync_events (at, kind, token_id, order_id, details)
        -- Once for an order, however many rows it has.
        SELECT v_now, 'negative', t.token_id, t.order_id,
               jsonb_build_object('balance', min((t.details ->> 'balance')::bigint))
        FROM told t WHERE (t.details ->> 'balance')::bigint < 0
        GROUP BY t.token_id, t.order_id)
    SELECT array_agg(t.id), coalesce(array_agg(t.age), '{}'), array_agg(DISTINCT t.token_id),
           count(*) FILTER (WHERE t.attempts = 1),
           coalesce(sum(t.age) FILTER (WHERE t.attempts > 1), 0)
    INTO v_settled, completed_ages, v_proven, first_tries, retried_seconds
    FROM told t;
    row_retries := 0;

    IF v_others IS NOT NULL THEN
        WITH settled AS (
            UPDATE pending_stock_operations o
            SET (status, retry_count, next_retry_at, error_message) = (
                    SELECT CASE WHEN c.counts THEN p_statuses[n] ELSE 'pending' END,
                           CASE WHEN c.counts THEN p_retry_counts[n] ELSE o.retry_count END,
                           CASE WHEN p_actions[n] IS NULL THEN o.next_retry_at
                                WHEN p_uncounted[n] = 'probe' OR v_open && ARRAY['', o.token_id]
                                    THEN v_now
                                WHEN c.counts THEN coalesce(
                                    v_now + p_delays[n] * interval '1 second', o.next_retry_at)
                                ELSE v_now + p_delays_uncounted[n] * interval '1 second' END,
                           coalesce(p_errors[n], o.error_message)
                    FROM width_bucket(o.id, (SELECT p_ids)) n
                    CROSS JOIN LATERAL (
                        SELECT CASE p_uncounted[n]
                               WHEN 'probe' THEN false
                               WHEN 'unproven' THEN
                                   o.attempted_at IS NULL OR v_service.proven_at > o.attempted_at
                               ELSE true END IS TRUE) c (counts)),
                attempts = o.attempts + 1, attempted_at = v_now, updated_at = v_now,
                claim_token = NULL, claim_no = NULL, lease_until = NULL
            WHERE o.ctid = ANY (v_others)
            RETURNING o.id, o.token_id, o.order_id, o.status, o.retry_count, o.error_message,
                width_bucket(o.id, (SELECT p_ids)) AS n),
        told AS MATERIALIZED (
            SELECT s.*, p_actions[s.n] AS action FROM settled s),
        logged AS (
            INSERT INTO stock_synchronization_logs
                (operation_id, action, status, details, "timestamp", execution_time_ms)
            -- Failed for good in the daemon's eyes, and yet pending: it did not count.
            SELECT t.id, CASE WHEN t.status = 'pending' AND t.action = 'failed' THEN 'retry'
                              ELSE t.action END, t.status, p_details[t.n]::jsonb, v_now, p_ms[t.n]
            FROM told t WHERE t.action IS NOT NULL),
        events AS (
            INSERT INTO stock_sync_events (at, kind, token_id, order_id, operation_id, details)
            SELECT v_now, 'failed', t.token_id, t.order_id, t.id,
                   jsonb_build_object('error', t.error_message)
            FROM told t WHERE t.status = 'failed')
        SELECT array_agg(t.id), array_agg(t.id) FILTER (WHERE t.status = 'failed'),
               -- One that did not count kept its number.
               count(*) FILTER (WHERE t.status = 'pending' AND t.action = 'retry'
                                  AND t.retry_count = p_retry_counts[t.n])
        INTO v_other_settled, given_up_ids, row_retries
        FROM told t;
        v_settled := v_settled || v_other_settled;
    END IF;

    lost_ids := '{}';
    blocked_ids := '{}';
    IF cardinality(p_ids) > coalesce(cardinality(v_settled), 0) THEN
        blocked_ids := ARRAY(
            SELECT o.id FROM pending_stock_operations o
            WHERE o.id = ANY (p_ids) AND o.claim_token = p_claims[width_bucket(o.id, (SELECT p_ids))]);
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

-- The wake-up asks whether anybody sleeps in the trigger's WHEN, which needs no function call: nobody
-- does while rows flow. Why and how: 0002_insert_triggers.sql; the race is the same.
CREATE OR REPLACE FUNCTION :"schema".stock_sync_wake() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_catalog.pg_notify('stock_sync_' || TG_TABLE_SCHEMA, '');
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER stock_sync_wake
    AFTER INSERT ON :"schema".pending_stock_operations
    FOR EACH STATEMENT
    -- 1398035287: "STSW" in ASCII. Given back in the same breath.
    WHEN (CASE WHEN pg_catalog.pg_try_advisory_lock(
                        1398035287, ':"schema".pending_stock_operations'::regclass::oid::integer)
               THEN NOT pg_catalog.pg_advisory_unlock(
                        1398035287, ':"schema".pending_stock_operations'::regclass::oid::integer)
               ELSE true END)
    EXECUTE FUNCTION :"schema".stock_sync_wake();
