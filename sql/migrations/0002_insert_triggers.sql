-- What happens inside the order system's INSERT: as little as possible.

-- A CHECK cannot tell an INSERT from an UPDATE, so this one rule is a trigger. Its WHEN keeps the
-- function from being called at all for a row that is right.
CREATE FUNCTION :"schema".stock_sync_refuse_status() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'check_violation',
        MESSAGE = pg_catalog.format(
            'new row for relation "%s" violates the rule "status_is_pending_at_insert"', TG_TABLE_NAME),
        DETAIL = pg_catalog.format('The status given is %s.', pg_catalog.quote_nullable(NEW.status)),
        HINT = 'Leave the column status out: a new operation is always pending.',
        SCHEMA = TG_TABLE_SCHEMA,
        TABLE = TG_TABLE_NAME,
        CONSTRAINT = 'status_is_pending_at_insert';
END $$;

CREATE TRIGGER status_is_pending_at_insert
    BEFORE INSERT ON :"schema".pending_stock_operations
    FOR EACH ROW WHEN (NEW.status <> 'pending')
    EXECUTE FUNCTION :"schema".stock_sync_refuse_status();

-- The wake-up: one empty NOTIFY a statement, and only while a daemon wants to be woken.
--
-- Commits that notify queue for one lock of the whole cluster (32 clients: 17,400 -> 3,900 inserts/s),
-- so a busy daemon, which looks again by itself, asks for silence. It asks with a session-level
-- advisory lock, shared, on its listening connection: held = "wake me". Locks are seen at once,
-- whatever the snapshot; a table or a setting would not be.
--
-- Trying the exclusive lock fails while any daemon holds its share; when it succeeds it is given back
-- in the next expression. Two producers at that same instant cost one NOTIFY too many, nothing else;
-- should a cancel ever fall between the two expressions, the lock stays with that session and
-- everybody is notified until it ends: slower, never deaf.
--
-- The race: a producer finds nobody to wake, and commits after the daemon looked for the last time
-- and asked to be woken. The daemon therefore looks again soon after it asked, at widening distances
-- up to its poll interval (relay.py): NOTIFY only shortens the poll, which is the truth.
CREATE FUNCTION :"schema".stock_sync_wake() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    -- 1398035287: "STSW" in ASCII.
    IF pg_catalog.pg_try_advisory_lock(1398035287, TG_RELID::pg_catalog.int4) THEN
        PERFORM pg_catalog.pg_advisory_unlock(1398035287, TG_RELID::pg_catalog.int4);
    ELSE
        PERFORM pg_catalog.pg_notify('stock_sync_' || TG_TABLE_SCHEMA, '');
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER stock_sync_wake
    AFTER INSERT ON :"schema".pending_stock_operations
    FOR EACH STATEMENT EXECUTE FUNCTION :"schema".stock_sync_wake();
