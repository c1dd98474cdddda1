-- A claim of a single fresh row for less: what is rarely needed is begun only when it is. CPU of the backend,
-- interleaved, 2 cores: 1.35 -> 1.17 ms, at best 0.70 -> 0.62; insert to PATCH at 50 rows a second 5.9 -> 5.7 ms.
-- A row in a claim of 500 costs the same. Names and answers are those of 0010_for_less.sql: daemons of the
-- version before go on.

-- Orders to be pushed for their own sake, the longest due first: not in flight, and not those that come
-- anyway because of a due row. None of paused accounts; of parked ones, unless p_with_parked, only the
-- first, as a probe, when the account has no due row for that.
CREATE OR REPLACE FUNCTION :"schema".stock_sync_orders_to_push(
    p_limit integer, p_now timestamptz, p_with_parked boolean,
    OUT tokens text[], OUT orders text[])
LANGUAGE plpgsql STABLE AS $orders$
BEGIN
    SELECT coalesce(array_agg(l.token_id), '{}'), coalesce(array_agg(l.order_id), '{}')
    INTO tokens, orders FROM (
        SELECT s.token_id, s.order_id, row_number() OVER (PARTITION BY s.token_id) AS no FROM (
            SELECT s.token_id, s.order_id FROM stock_sync_orders s
            WHERE s.push_due_at <= p_now AND s.claim_token IS NULL
              AND NOT EXISTS (SELECT 1 FROM pending_stock_operations o
                              WHERE o.order_id = s.order_id AND o.token_id = s.token_id
                                AND (o.status || '' = 'processing'
                                     OR (o.status || '' = 'pending' AND o.next_retry_at <= p_now))
                              OFFSET 0)
              AND NOT EXISTS (SELECT 1 FROM stock_sync_circuits c
                              WHERE c.token_id = s.token_id
                                AND (c.paused_until > p_now
                                     OR (c.is_open AND NOT p_with_parked
                                         AND (c.probe_at > p_now OR c.probe_until > p_now
                                              OR EXISTS (SELECT 1 FROM pending_stock_operations o
                                                         WHERE o.status = 'pending'
                                                           AND o.token_id = s.token_id
                                                           AND o.next_retry_at <= p_now OFFSET 0)
                                              OR EXISTS (SELECT 1 FROM stock_sync_orders e
                                                         WHERE e.token_id = s.token_id
                                                           AND e.push_due_at < s.push_due_at OFFSET 0))))
                              OFFSET 0)
            ORDER BY s.push_due_at LIMIT p_limit) s) l
    -- Several are the first when they are due at the same instant, as after a cancel in bulk. (Not by the order's
    -- id in the comparison above: the planner would answer it from the primary key, 2.6 -> 741 ms beside
    -- 100,000 balances.)
    WHERE l.no = 1 OR NOT EXISTS (SELECT 1 FROM stock_sync_circuits c
                                  WHERE c.token_id = l.token_id AND c.is_open OFFSET 0);
END $orders$;

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
    v_is_own   boolean;
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
    --    wait for them (of a claim of one to three: one, sometimes). Mostly there are none, and to begin
    --    the look for them costs more than this one.
    v_is_own := EXISTS (SELECT 1 FROM stock_sync_orders s WHERE s.push_due_at <= v_now);
    IF v_is_own AND NOT v_service.is_open THEN
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
    IF v_is_own AND cardinality(v_accounts) = 0 AND cardinality(v_own_orders) = 0
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
    -- What is probed by this claim. Locked before any row and any order of it: so does whoever feeds the
    -- circuits (circuits_lock.sql), and crosswise would be a deadlock.
    v_probed := ARRAY(SELECT c.token_id FROM stock_sync_circuits c
                      WHERE c.token_id = ANY (ARRAY[''] || v_accounts || v_own_tokens) AND c.is_open
                      ORDER BY c.token_id FOR UPDATE);

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
            SET claim_token = excluded.claim_token, lease_until = excluded.lease_until, push_due_at = NULL)
        SELECT t.token_id, t.order_id, t.balance, t.ids, t.are_due, t.retry_counts, t.max_retries,
               t.failed_ids, t.is_own, t.attempt,
               v_service.is_open OR t.token_id = ANY (v_probed), t.at, t.seq
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

    -- 7. Note the probes among them. Not in the statement above: for its beginning alone a claim of one
    --    row paid a twelfth of its time. Looks at all that is in flight, which is little.
    IF v_count > 0 AND cardinality(v_probed) > 0 THEN
        WITH taken AS (
            SELECT o.token_id FROM pending_stock_operations o
            WHERE o.status = 'processing' AND o.claim_token = p_claim_token
            UNION
            SELECT s.token_id FROM stock_sync_orders s WHERE s.claim_token = p_claim_token)
        UPDATE stock_sync_circuits c
        SET probes = c.probes + 1, probe_after = (SELECT max(t.token_id) FROM taken t),
            -- After 1 s (said when it opened), then 2, 4, 8, 16, 30.
            probe_at = v_now + least(30, 2 ^ least(c.probes + 1, 5)) * interval '1 second',
            -- A push is over within half of its lease.
            probe_until = v_now + v_lease / 2
        WHERE c.token_id = ANY (v_probed)
          AND c.token_id = ANY (CASE WHEN v_service.is_open THEN ARRAY['']
                                     ELSE ARRAY(SELECT t.token_id FROM taken t) END);
    END IF;

    token_id := CASE WHEN cardinality(p_accounts) = 0 AND cardinality(v_accounts) > 0
                          AND cardinality(v_accounts) >= v_limit - v_own_count
                     THEN v_accounts[cardinality(v_accounts)] ELSE '' END;
    is_probe := v_service.is_open;
    RETURN NEXT;
END $claim$;
