-- Cleanup: orders that are over and old go, and what they came to stays. README: "Cleanup".

-- Balances by the end of their time: what is to be forgotten is found without a look at the others.
CREATE INDEX stock_sync_orders_balance_until
    ON :"schema".stock_sync_orders (balance_until) WHERE balance_until IS NOT NULL;

-- Whether a row is over and has been kept for its days. (completed_at goes with completed: a CHECK.)
CREATE FUNCTION :"schema".stock_sync_is_old(
    p_row :"schema".pending_stock_operations, p_completed_days integer, p_failed_days integer)
RETURNS boolean
LANGUAGE sql STABLE
RETURN CASE (p_row).status
       WHEN 'completed' THEN (p_row).completed_at < now() - make_interval(days => p_completed_days)
       WHEN 'cancelled' THEN (p_row).updated_at < now() - make_interval(days => p_completed_days)
       WHEN 'failed' THEN (p_row).updated_at < now() - make_interval(days => p_failed_days)
       ELSE false END;

-- Whether there is more to an order than its rows and its balance: it is in flight, to be pushed again,
-- or ambiguous.
CREATE FUNCTION :"schema".stock_sync_is_in_need(p_order :"schema".stock_sync_orders)
RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN (p_order).claim_token IS NOT NULL
    OR (p_order).push_due_at IS NOT NULL
    OR (p_order).ambiguous_at IS NOT NULL;

-- One batch: deletes orders all of whose rows are old, with their logs, and carries what each came to
-- over into stock_sync_orders. Reads p_limit log entries after the entry p_after; takes p_limit rows at
-- most, or one order. Gives what was deleted, how many orders left a balance, and the entry after which
-- the next batch begins: NULL when nothing after it is old.
--
-- Old rows are found by walking up the log, whose ids grow with time: whatever is over has an entry. An
-- index on the operations for that would be paid for by the order system, at every INSERT.
--
-- Nothing is lost or counted twice: an order's balance is the same in every snapshot, before it as rows,
-- after it as a number. So a claim, which sums in one snapshot, sees one or the other; and a row that
-- is inserted meanwhile is no part of either.
CREATE FUNCTION :"schema".stock_sync_cleanup(
    p_after bigint, p_limit integer,
    p_completed_days integer, p_failed_days integer, p_balance_days integer,
    OUT orders integer, OUT completed integer, OUT cancelled integer, OUT failed integer,
    OUT balances_carried integer, OUT next_after bigint)
LANGUAGE plpgsql VOLATILE
-- As in 0003_claim.sql: look-ups by index, whatever the planner believes about the tables.
SET search_path = :"schema", pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
-- Shorter than the deadlock timeout: whoever we would wait for crosswise, it is us who gives way.
SET lock_timeout = '200ms'
AS $cleanup$
DECLARE
    v_before     timestamptz := now() - make_interval(days => least(p_completed_days, p_failed_days));
    v_entries    bigint[];
    v_operations uuid[];
    v_tokens     text[];
    v_orders     text[];
    v_ids        uuid[];
    v_empty      tid[];
BEGIN
    orders := 0; completed := 0; cancelled := 0; failed := 0; balances_carried := 0;

    -- 1. The next entries. Ids and times do not grow quite alike: what is young among the old is passed
    --    over, and the walk ends where all are young.
    SELECT array_agg(e.id) FILTER (WHERE e."timestamp" < v_before),
           array_agg(e.operation_id) FILTER (WHERE e."timestamp" < v_before),
           max(e.id)
    INTO v_entries, v_operations, next_after
    FROM (SELECT l.id, l.operation_id, l."timestamp" FROM stock_synchronization_logs l
          WHERE l.id > p_after ORDER BY l.id LIMIT p_limit) e;
    IF v_entries IS NULL THEN
        next_after := NULL;
        RETURN;
    END IF;

    -- 2. Their orders, those that may go: as many as p_limit rows allow, or one. The next batch begins
    --    with the first that is too much.
    WITH known AS MATERIALIZED (
        SELECT o.token_id, o.order_id, min(e.id) AS entry
        FROM unnest(v_entries, v_operations) e (id, operation_id)
        CROSS JOIN LATERAL (
            SELECT o.token_id, o.order_id FROM pending_stock_operations o
            WHERE o.id = e.operation_id OFFSET 0) o
        GROUP BY o.token_id, o.order_id),
    old AS MATERIALIZED (
        SELECT k.token_id, k.order_id, k.entry, r.row_count,
               sum(r.row_count) OVER (ORDER BY k.entry) AS rows_so_far
        FROM known k
        CROSS JOIN LATERAL (
            SELECT count(*) AS row_count,
                   bool_and(stock_sync_is_old(o, p_completed_days, p_failed_days)) AS are_old
            FROM pending_stock_operations o
            WHERE o.order_id = k.order_id AND o.token_id = k.token_id) r
        WHERE r.are_old
          AND NOT EXISTS (SELECT 1 FROM stock_sync_orders s
                          WHERE s.order_id = k.order_id AND s.token_id = k.token_id
                            AND stock_sync_is_in_need(s) OFFSET 0)),
    fitting AS (
        SELECT o.*, o.rows_so_far <= p_limit OR o.rows_so_far = o.row_count AS fits FROM old o)
    SELECT array_agg(f.token_id) FILTER (WHERE f.fits), array_agg(f.order_id) FILTER (WHERE f.fits),
           coalesce(min(f.entry) FILTER (WHERE NOT f.fits) - 1, next_after)
    INTO v_tokens, v_orders, next_after
    FROM fitting f;
    IF v_orders IS NULL THEN
        RETURN;
    END IF;

    -- 3. All rows of an order under lock, or none: whoever holds one of them keeps the order. The balance
    --    is written first: it is fenced by the order's own row, as everybody who claims, marks or repairs
    --    an order writes there. Then the rows go.
    WITH locked AS MATERIALIZED (
        SELECT w.token_id, w.order_id, l.ids, b.balance - coalesce(s.balance, 0) AS balance
        FROM unnest(v_tokens, v_orders) w (token_id, order_id)
        CROSS JOIN LATERAL (
            SELECT array_agg(r.id) AS ids, count(*) AS row_count
            FROM (SELECT o.id FROM pending_stock_operations o
                  WHERE o.order_id = w.order_id AND o.token_id = w.token_id
                    AND stock_sync_is_old(o, p_completed_days, p_failed_days)
                  FOR UPDATE SKIP LOCKED) r) l
        CROSS JOIN LATERAL (
            SELECT count(*) AS row_count FROM pending_stock_operations o
            WHERE o.order_id = w.order_id AND o.token_id = w.token_id) a
        CROSS JOIN LATERAL stock_sync_order(w.token_id, w.order_id) b
        LEFT JOIN LATERAL (
            SELECT s.balance FROM stock_sync_orders s
            WHERE s.order_id = w.order_id AND s.token_id = w.token_id OFFSET 0) s ON true
        WHERE l.row_count > 0 AND l.row_count = a.row_count),
    carried AS (
        INSERT INTO stock_sync_orders AS s (order_id, token_id, balance, balance_until)
        SELECT l.order_id, l.token_id, l.balance, now() + make_interval(days => p_balance_days)
        FROM locked l
        -- Sorted as everywhere: two that touch the same orders never wait for each other crosswise.
        ORDER BY l.order_id, l.token_id
        ON CONFLICT ON CONSTRAINT stock_sync_orders_pkey DO UPDATE
        SET balance = s.balance + excluded.balance,
            balance_until = greatest(s.balance_until, excluded.balance_until)
        WHERE NOT stock_sync_is_in_need(s)
        RETURNING s.order_id, s.token_id, s.balance, s.repaired_at, s.ctid)
    SELECT count(*), count(*) FILTER (WHERE c.balance <> 0),
           -- By its place, which nobody else can change now: a join would perhaps walk through all of the
           -- table (0004_settle.sql says when). What was repaired lately, reconciling forgets.
           array_agg(c.ctid) FILTER (WHERE c.balance = 0 AND c.repaired_at IS NULL),
           ARRAY(SELECT unnest(l.ids) FROM locked l
                 -- OFFSET 0: looked up in a hash, not joined row by row.
                 WHERE (l.order_id, l.token_id) IN (
                     SELECT d.order_id, d.token_id FROM carried d OFFSET 0))
    INTO orders, balances_carried, v_empty, v_ids
    FROM carried c;

    WITH deleted AS (
        DELETE FROM pending_stock_operations o WHERE o.id = ANY (v_ids) RETURNING o.status)
    SELECT count(*) FILTER (WHERE d.status = 'completed'),
           count(*) FILTER (WHERE d.status = 'cancelled'),
           count(*) FILTER (WHERE d.status = 'failed')
    INTO completed, cancelled, failed FROM deleted d;

    -- 4. A balance of 0 needs no row.
    DELETE FROM stock_sync_orders s WHERE s.ctid = ANY (v_empty);
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
    -- Somebody keeps us waiting: all of the batch stays, for the next run.
    orders := 0; completed := 0; cancelled := 0; failed := 0; balances_carried := 0;
END $cleanup$;

-- One batch of what is kept for a time and then no more, p_limit rows of each kind at most: balances,
-- minutes, changes. A balance whose order has rows again is kept until they are cleaned up as well.
-- Gives what was deleted, and whether there is more.
CREATE FUNCTION :"schema".stock_sync_forget(
    p_limit integer, p_balance_days integer, p_minutes_days integer, p_sent_days integer,
    p_unsent_days integer,
    OUT balances integer, OUT minutes integer, OUT changes integer, OUT is_more boolean)
LANGUAGE plpgsql VOLATILE
SET search_path = :"schema", pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $forget$
DECLARE
    v_kept integer;
BEGIN
    WITH expired AS MATERIALIZED (
        SELECT s.ctid AS place, s.order_id, s.token_id FROM stock_sync_orders s
        WHERE s.balance_until < now() AND NOT stock_sync_is_in_need(s)
        ORDER BY s.balance_until LIMIT p_limit FOR UPDATE SKIP LOCKED),
    looked AS MATERIALIZED (
        SELECT e.place,
               EXISTS (SELECT 1 FROM pending_stock_operations o
                       WHERE o.order_id = e.order_id AND o.token_id = e.token_id OFFSET 0) AS has_rows
        FROM expired e),
    kept AS (
        UPDATE stock_sync_orders s SET balance_until = now() + make_interval(days => p_balance_days)
        WHERE s.ctid = ANY (ARRAY(SELECT l.place FROM looked l WHERE l.has_rows))
        RETURNING 1),
    forgotten AS (
        DELETE FROM stock_sync_orders s
        WHERE s.ctid = ANY (ARRAY(SELECT l.place FROM looked l WHERE NOT l.has_rows))
        RETURNING 1)
    SELECT (SELECT count(*) FROM kept), (SELECT count(*) FROM forgotten) INTO v_kept, balances;

    DELETE FROM stock_sync_minutes m WHERE m.minute IN (
        SELECT o.minute FROM stock_sync_minutes o
        WHERE o.minute < now() - make_interval(days => p_minutes_days)
        ORDER BY o.minute LIMIT p_limit);
    GET DIAGNOSTICS minutes = ROW_COUNT;

    DELETE FROM stock_sync_changes c WHERE c.id IN (
        SELECT o.id FROM stock_sync_changes o
        WHERE o.sent_at < now() - make_interval(days => p_sent_days)
           OR (o.sent_at IS NULL AND o.at < now() - make_interval(days => p_unsent_days))
        ORDER BY o.id LIMIT p_limit FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS changes = ROW_COUNT;

    is_more := p_limit IN (v_kept + balances, minutes, changes);
END $forget$;
