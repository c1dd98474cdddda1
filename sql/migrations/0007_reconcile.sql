-- Reconciliation: which orders to look at, and what a difference of the two sides leads to. README:
-- "Reconciliation".

-- What is to be forgotten a day after its last repair.
CREATE INDEX stock_sync_orders_repaired
    ON :"schema".stock_sync_orders (repaired_at) WHERE repaired_at IS NOT NULL;

-- How an order stands for a comparison with the service.
-- is_busy: it is not to be compared now, because a row of it, or the order itself, waits for a push, is in
-- one, or failed; or because the service may still apply a call that ended less than a minute ago.
-- state: equal to an earlier one, nothing happened to the order between; what was read between is of now.
-- act: what a difference leads to. An order repaired three times, each within a day of the one before, is
-- given up until a day has passed; what settled longer than p_hours ago is left, except after a call
-- that may be applied late: then the order was just attempted, whatever its rows say.
CREATE FUNCTION :"schema".stock_sync_compared(p_token_id text, p_order_id text, p_hours integer)
RETURNS TABLE (wanted boolean, settled_at timestamptz, is_busy boolean, state text, act text,
               ambiguous_at timestamptz, repaired_at timestamptz)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT b.balance > 0, r.settled_at,
           r.is_unfinished OR s.claim_token IS NOT NULL OR s.push_due_at IS NOT NULL
               OR coalesce(s.ambiguous_at > now() - interval '60 seconds', false),
           concat_ws('/', r.row_count, b.balance,
                     coalesce(extract(epoch FROM r.updated_at)::text, '-'),
                     coalesce(extract(epoch FROM s.ambiguous_at)::text, '-'),
                     coalesce(extract(epoch FROM s.repaired_at)::text, '-')),
           CASE WHEN s.repairs >= 3 AND s.repaired_at > now() - interval '1 day' THEN 'given_up'
                WHEN s.ambiguous_at IS NOT NULL
                     OR r.settled_at > now() - make_interval(hours => p_hours) THEN 'repaired'
                ELSE 'left' END,
           s.ambiguous_at, s.repaired_at
    FROM :"schema".stock_sync_order(p_token_id, p_order_id) b
    CROSS JOIN (
        SELECT count(*) AS row_count, max(o.updated_at) AS updated_at,
               -- Of an order all of whose rows were cancelled: when that was.
               coalesce(max(o.completed_at), max(o.updated_at)) AS settled_at,
               coalesce(bool_or(o.status IN ('pending', 'processing', 'failed')), false)
                   AS is_unfinished
        FROM :"schema".pending_stock_operations o
        WHERE o.order_id = p_order_id AND o.token_id = p_token_id) r
    LEFT JOIN :"schema".stock_sync_orders s
        ON s.order_id = p_order_id AND s.token_id = p_token_id;
END;

-- The same of many orders, in the order given.
CREATE FUNCTION :"schema".stock_sync_look(p_tokens text[], p_orders text[], p_hours integer)
RETURNS TABLE (token_id text, order_id text, wanted boolean, settled_at timestamptz,
               is_busy boolean, state text, act text, is_ambiguous boolean)
LANGUAGE plpgsql STABLE
-- As in 0003_claim.sql: look-ups by index, whatever the planner believes about the tables.
SET search_path = :"schema", pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $look$
BEGIN
    RETURN QUERY
    SELECT t.token_id, t.order_id, c.wanted, c.settled_at, c.is_busy, c.state, c.act,
           c.ambiguous_at IS NOT NULL
    FROM unnest(p_tokens, p_orders) WITH ORDINALITY t (token_id, order_id, n)
    CROSS JOIN LATERAL stock_sync_compared(t.token_id, t.order_id, p_hours) c
    ORDER BY t.n;
END $look$;

-- The first log entry at or after a time: log ids grow with time, nearly. No index on the time is needed.
-- Entries of the same minute may stand in any order, so whoever asks allows for a minute. NULL: there
-- is no entry at all.
CREATE FUNCTION :"schema".stock_sync_log_at(p_at timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE
SET search_path = :"schema", pg_temp
SET enable_seqscan = off
-- The next entry is the head of an index, not of a sorted bitmap of all that follow.
SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan
AS $log_at$
DECLARE
    v_low    bigint;
    v_high   bigint;
    v_middle bigint;
    v_id     bigint;
    v_at     timestamptz;
BEGIN
    -- Not min and max: for a table that is believed to be empty, they read all of it.
    v_low := (SELECT l.id FROM stock_synchronization_logs l ORDER BY l.id LIMIT 1);
    v_high := (SELECT l.id + 1 FROM stock_synchronization_logs l ORDER BY l.id DESC LIMIT 1);
    WHILE v_low < v_high LOOP
        v_middle := v_low + (v_high - v_low) / 2;
        -- The next one there is: ids have gaps.
        SELECT l.id, l."timestamp" INTO v_id, v_at FROM stock_synchronization_logs l
        WHERE l.id >= v_middle ORDER BY l.id LIMIT 1;
        IF v_at < p_at THEN
            v_low := v_id + 1;
        ELSE
            v_high := v_middle;
        END IF;
    END LOOP;
    RETURN v_low;
END $log_at$;

-- At most p_limit orders, any of them, that were settled after p_from and not after p_until, and how many
-- there are; of very many, how many of a sample. They are found by their log entries: a bounded number of
-- entries, evenly spread when there are more.
CREATE FUNCTION :"schema".stock_sync_settled(
    p_from timestamptz, p_until timestamptz, p_limit integer)
RETURNS TABLE (token_id text, order_id text, order_count bigint)
LANGUAGE plpgsql VOLATILE
SET search_path = :"schema", pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $settled$
DECLARE
    v_first   bigint := stock_sync_log_at(p_from - interval '1 minute');
    v_end     bigint := stock_sync_log_at(p_until + interval '1 minute');
    -- An order has a few entries, one for each of its rows.
    v_sample  integer := least(20::bigint * p_limit, 20000);
    v_entries bigint[];
BEGIN
    IF v_end - v_first > v_sample THEN
        v_entries := ARRAY(
            SELECT l.id
            FROM (SELECT v_first + floor((n + random()) * (v_end - v_first) / v_sample)::bigint AS id
                  FROM generate_series(0, v_sample - 1) n OFFSET 0) w
            CROSS JOIN LATERAL (
                SELECT e.id FROM stock_synchronization_logs e
                WHERE e.id >= w.id AND e.id < v_end ORDER BY e.id LIMIT 1) l);
    ELSE
        v_entries := ARRAY(SELECT e.id FROM stock_synchronization_logs e
                           WHERE e.id >= v_first AND e.id < v_end);
    END IF;
    RETURN QUERY
    SELECT d.token_id, d.order_id, count(*) OVER ()
    FROM (SELECT DISTINCT o.token_id, o.order_id
          FROM unnest(v_entries) v (id)
          CROSS JOIN LATERAL (
              SELECT e.operation_id FROM stock_synchronization_logs e
              WHERE e.id = v.id AND e.action IN ('completed', 'pushed_again')
                AND e."timestamp" > p_from AND e."timestamp" <= p_until OFFSET 0) l
          CROSS JOIN LATERAL (
              SELECT p.token_id, p.order_id FROM pending_stock_operations p
              WHERE p.id = l.operation_id OFFSET 0) o) d
    ORDER BY random() LIMIT p_limit;
END $settled$;

-- A walk over all orders, p_rows rows at a time (more only if they are of one order): those after the order
-- p_after, of the account p_token_id or (NULL) of all, that settled within p_hours; and any p_older of the
-- others, each with the lot it drew. last_order_id is where the next step begins; NULL: there is none.
CREATE FUNCTION :"schema".stock_sync_walk(
    p_after text, p_token_id text, p_hours integer, p_older integer, p_rows integer,
    OUT last_order_id text, OUT tokens text[], OUT orders text[],
    OUT older_tokens text[], OUT older_orders text[], OUT older_lots double precision[],
    OUT older_count bigint)
LANGUAGE plpgsql VOLATILE
SET search_path = :"schema", pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $walk$
BEGIN
    WITH walked AS MATERIALIZED (
        SELECT o.order_id, o.token_id, o.completed_at, o.updated_at FROM pending_stock_operations o
        WHERE o.order_id > p_after
        ORDER BY o.order_id FETCH FIRST (p_rows) ROWS WITH TIES),
    found AS MATERIALIZED (
        SELECT w.order_id, w.token_id,
               coalesce(max(w.completed_at), max(w.updated_at))
                   > now() - make_interval(hours => p_hours) AS is_young
        FROM walked w WHERE w.token_id = coalesce(p_token_id, w.token_id)
        GROUP BY w.order_id, w.token_id),
    older AS MATERIALIZED (
        SELECT f.order_id, f.token_id, random() AS lot FROM found f WHERE NOT f.is_young
        ORDER BY 3 LIMIT p_older)
    SELECT (SELECT max(w.order_id) FROM walked w),
           array_agg(f.token_id ORDER BY f.order_id, f.token_id) FILTER (WHERE f.is_young),
           array_agg(f.order_id ORDER BY f.order_id, f.token_id) FILTER (WHERE f.is_young),
           (SELECT array_agg(r.token_id ORDER BY r.lot) FROM older r),
           (SELECT array_agg(r.order_id ORDER BY r.lot) FROM older r),
           (SELECT array_agg(r.lot ORDER BY r.lot) FROM older r),
           count(*) FILTER (WHERE NOT f.is_young)
    INTO last_order_id, tokens, orders, older_tokens, older_orders, older_lots, older_count
    FROM found f;
END $walk$;

-- Ambiguous orders that may be verified now, the longest ambiguous first: the service had a minute to apply
-- what it still may, nothing of them is unfinished, and their accounts are neither parked nor paused.
CREATE FUNCTION :"schema".stock_sync_to_verify(p_limit integer)
RETURNS TABLE (token_id text, order_id text)
LANGUAGE plpgsql STABLE
SET search_path = :"schema", pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $to_verify$
BEGIN
    RETURN QUERY
    SELECT s.token_id, s.order_id FROM stock_sync_orders s
    WHERE s.ambiguous_at <= now() - interval '60 seconds'
      AND s.claim_token IS NULL AND s.push_due_at IS NULL
      AND NOT EXISTS (SELECT 1 FROM pending_stock_operations o
                      WHERE o.order_id = s.order_id AND o.token_id = s.token_id
                        -- || '': by the order, not by the index of what is due.
                        AND o.status || '' IN ('pending', 'processing', 'failed') OFFSET 0)
      AND NOT EXISTS (SELECT 1 FROM stock_sync_circuits c
                      WHERE c.token_id = s.token_id
                        AND (c.is_open OR c.paused_until > now()) OFFSET 0)
    ORDER BY s.ambiguous_at LIMIT p_limit;
END $to_verify$;

-- What follows from flags that were read at the service, p_flags, of orders that stood as p_states says
-- before. One order, one row: what became of it (changed: something happened to it since, so the flag says
-- nothing; else right, repaired, left, given_up).
--
-- A repair is a push of the order for its own sake: what it then pushes is the balance of that moment.
-- What is left or given up is told once: not again within a week or before it settled again, or before
-- the next repair.
CREATE FUNCTION :"schema".stock_sync_reconcile(
    p_tokens text[], p_orders text[], p_states text[], p_flags boolean[], p_hours integer, p_by text)
RETURNS TABLE (token_id text, order_id text, wanted boolean, flag boolean,
               settled_at timestamptz, act text)
LANGUAGE plpgsql VOLATILE
SET search_path = :"schema", pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
SET timezone = 'UTC'
AS $reconcile$
#variable_conflict use_column
DECLARE
    v_read      record;
    v_order     record;
    v_newest_id uuid;
    v_details   jsonb;
    v_is_waking boolean := false;
BEGIN
    -- Nobody claims meanwhile, so nothing begins to be pushed between our look and our act. A statement
    -- of its own: the next one's snapshot must be newer than the lock. (0003_claim.sql)
    PERFORM pg_advisory_xact_lock(
        1398035267, 'pending_stock_operations'::regclass::oid::integer);

    -- Sorted as everywhere: two that touch the same orders never wait for each other crosswise.
    FOR v_read IN
        SELECT t.* FROM unnest(p_tokens, p_orders, p_states, p_flags)
            t (token_id, order_id, state, flag)
        ORDER BY t.order_id, t.token_id
    LOOP
        SELECT c.* INTO v_order
        FROM stock_sync_compared(v_read.token_id, v_read.order_id, p_hours) c;
        token_id := v_read.token_id;
        order_id := v_read.order_id;
        wanted := v_order.wanted;
        flag := v_read.flag;
        settled_at := v_order.settled_at;
        act := CASE WHEN v_order.is_busy OR v_order.state <> v_read.state THEN 'changed'
                    WHEN flag = wanted THEN 'right'
                    ELSE v_order.act END;
        RETURN NEXT;
        CONTINUE WHEN act = 'changed';

        -- Read a minute after the call or later: it was verified.
        UPDATE stock_sync_orders s SET ambiguous_at = NULL
        WHERE s.order_id = v_read.order_id AND s.token_id = v_read.token_id
          AND s.ambiguous_at = v_order.ambiguous_at;
        IF act = 'right' THEN
            -- Nothing left to remember: the table holds only orders in need.
            DELETE FROM stock_sync_orders s
            WHERE s.order_id = v_read.order_id AND s.token_id = v_read.token_id
              AND s.claim_token IS NULL AND s.push_due_at IS NULL AND s.ambiguous_at IS NULL
              AND s.balance = 0 AND s.repairs = 0;
            CONTINUE;
        END IF;

        v_details := jsonb_build_object('wanted', wanted, 'found', flag, 'act', act);
        IF act = 'repaired' THEN
            INSERT INTO stock_sync_orders AS s
                (order_id, token_id, push_due_at, repairs, repaired_at)
            VALUES (v_read.order_id, v_read.token_id, clock_timestamp(), 1, clock_timestamp())
            ON CONFLICT ON CONSTRAINT stock_sync_orders_pkey DO UPDATE
            SET push_due_at = least(s.push_due_at, excluded.push_due_at),
                repairs = CASE WHEN s.repaired_at > now() - interval '1 day' THEN s.repairs ELSE 0 END
                          + 1,
                repaired_at = excluded.repaired_at;
            INSERT INTO stock_synchronization_logs (operation_id, action, status, details)
            SELECT n.id, 'reconciled', n.status, v_details || jsonb_build_object('by', p_by)
            FROM (SELECT o.id, o.status, o.seq FROM pending_stock_operations o
                  WHERE o.order_id = v_read.order_id AND o.token_id = v_read.token_id
                  -- An order may have ten thousand rows; the newest tell its story.
                  ORDER BY o.seq DESC LIMIT 100) n
            ORDER BY n.seq;
            v_is_waking := true;
        ELSE
            SELECT o.id INTO v_newest_id FROM pending_stock_operations o
            WHERE o.order_id = v_read.order_id AND o.token_id = v_read.token_id
            ORDER BY o.seq DESC LIMIT 1;
            CONTINUE WHEN EXISTS (
                SELECT 1 FROM stock_synchronization_logs l
                WHERE l.operation_id = v_newest_id AND l.action = 'discrepancy'
                  AND l.details ->> 'act' = act
                  AND l."timestamp" > CASE act
                      WHEN 'left' THEN greatest(settled_at, now() - interval '7 days')
                      ELSE v_order.repaired_at END);
            INSERT INTO stock_synchronization_logs (operation_id, action, status, details)
            SELECT o.id, 'discrepancy', o.status, v_details || jsonb_build_object('by', p_by)
            FROM pending_stock_operations o WHERE o.id = v_newest_id;
        END IF;
        INSERT INTO stock_sync_events (kind, token_id, order_id, details)
        VALUES ('discrepancy', v_read.token_id, v_read.order_id,
                v_details || jsonb_build_object('settled_at', settled_at));
    END LOOP;

    IF v_is_waking THEN
        PERFORM pg_notify('stock_sync_' || current_schema(), '');
    END IF;
END $reconcile$;
