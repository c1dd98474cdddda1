-- What the timers, the monitor and the messages keep. README: "The tables".

-- Daemons of the version before claim meanwhile. A claim reads stock_sync_orders and writes operations;
-- this reads operations, for an index, and then changes stock_sync_orders: each would wait for the other.
-- So nobody claims until this is over. 1398035267: "STSC" in ASCII, the lock of stock_sync_claim.
SELECT pg_advisory_xact_lock(
    1398035267, ':"schema".pending_stock_operations'::regclass::oid::integer);

-- Timers: each turn once over all daemons. A turn is taken under a lease; one that its runner did not
-- end is somebody else's after it.
CREATE TABLE :"schema".stock_sync_timers (
    name             text        PRIMARY KEY,
    interval_seconds bigint      NOT NULL,
    due_at           timestamptz NOT NULL,  -- the next turn by the schedule
    asked            jsonb       NOT NULL DEFAULT '[]',  -- turns wanted at once, in order: by whom, of what
    runner           text,                  -- who has the turn, or had the last one
    run_token        uuid,
    lease_until      timestamptz,
    started_at       timestamptz,
    ended_at         timestamptz,
    succeeded_at     timestamptz,           -- the start of the last turn of everything that ended well
    result           jsonb,                 -- what the last turn that ended well counted
    error            text,                  -- of the last turn; NULL: it ended well
    CONSTRAINT run_has_a_lease CHECK ((run_token IS NULL) = (lease_until IS NULL))
);

-- What happened that on-call has to hear of: written in the transaction in which it happens, taken out
-- in the one that makes changes (stock_sync_changes) of it. Kinds: failed, negative, circuit_opened,
-- circuit_closed, discrepancy.
CREATE TABLE :"schema".stock_sync_events (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind         text        NOT NULL,
    token_id     text        COLLATE "C" NOT NULL DEFAULT '',
    order_id     text        COLLATE "C",
    operation_id uuid,                      -- no key: the event may outlive the row
    details      jsonb       NOT NULL DEFAULT '{}'
);

-- What was pushed, in sums per minute over all daemons: rates, shares and means without a look at
-- every row. Each daemon adds its own every few seconds.
CREATE TABLE :"schema".stock_sync_minutes (
    minute           timestamptz      PRIMARY KEY,
    attempts         bigint           NOT NULL DEFAULT 0,  -- pushes that were answered or not; no probes
    unproven         bigint           NOT NULL DEFAULT 0,  -- of these
    orders_pushed    bigint           NOT NULL DEFAULT 0,  -- proven, probes too
    rows_completed   bigint           NOT NULL DEFAULT 0,
    rows_first_try   bigint           NOT NULL DEFAULT 0,  -- of these, with one attempt
    retried_seconds  double precision NOT NULL DEFAULT 0,  -- insert to completion, sum over the others
    rows_failed      bigint           NOT NULL DEFAULT 0,
    row_retries      bigint           NOT NULL DEFAULT 0,
    push_ms          bigint           NOT NULL DEFAULT 0,  -- sum over the attempts
    slowest_push_ms  bigint           NOT NULL DEFAULT 0,
    due_rows         bigint,                               -- waiting then, as the monitor saw it
    oldest_due_seconds double precision
);

-- Conditions that last, as they were last told.
CREATE TABLE :"schema".stock_sync_conditions (
    kind     text        NOT NULL,
    token_id text        COLLATE "C" NOT NULL DEFAULT '',
    since    timestamptz NOT NULL,
    told_at  timestamptz,                   -- NULL: explained by another one, not told by itself
    ended_at timestamptz,                   -- it is over, but its backlog is not gone
    details  jsonb       NOT NULL DEFAULT '{}',
    PRIMARY KEY (kind, token_id)
);

-- Changes of state that on-call shall hear of, until every chat has.
CREATE TABLE :"schema".stock_sync_changes (
    id            bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind          text        NOT NULL,
    phase         text        NOT NULL,
    token_id      text        COLLATE "C" NOT NULL DEFAULT '',
    facts         jsonb       NOT NULL DEFAULT '{}',
    added_at      timestamptz NOT NULL DEFAULT clock_timestamp(),  -- noticed, which may be after `at`
    sent_to       text[]      NOT NULL DEFAULT '{}',  -- chats that have it
    tries         integer     NOT NULL DEFAULT 0,     -- that failed
    sent_at       timestamptz
);

CREATE INDEX stock_sync_changes_unsent ON :"schema".stock_sync_changes (id) WHERE sent_at IS NULL;

-- Telegram, as all daemons share it: one row.
CREATE TABLE :"schema".stock_sync_telegram (
    is_the_row    boolean     PRIMARY KEY DEFAULT true CHECK (is_the_row),
    muted_until   timestamptz,
    muted_by      text,
    flood_until   timestamptz,              -- Telegram asked for this pause
    refused       text,                     -- why it takes nothing from us; NULL: it does
    refused_at    timestamptz,
    sender        uuid,                     -- the one daemon that sends changes
    sender_until  timestamptz,
    paced_until   timestamptz,              -- messages of late, each a few seconds: never too many a minute
    poller        uuid,                     -- the one daemon that asks for updates
    poller_until  timestamptz,
    next_update   bigint      NOT NULL DEFAULT 0
);

INSERT INTO :"schema".stock_sync_telegram DEFAULT VALUES;

-- What failed, without a look at every row: the order system's INSERT does not touch it.
CREATE INDEX pending_stock_operations_failed
    ON :"schema".pending_stock_operations (token_id, updated_at) WHERE status = 'failed';

-- repairs: how often reconciling repaired the flag, the last time at repaired_at, and it was wrong again.
-- balance_until: the balance carried over from rows that cleanup removed is kept until then.
ALTER TABLE :"schema".stock_sync_orders
    ADD COLUMN repairs       integer NOT NULL DEFAULT 0,
    ADD COLUMN repaired_at   timestamptz,
    ADD COLUMN balance_until timestamptz;

CREATE INDEX stock_sync_orders_ambiguous
    ON :"schema".stock_sync_orders (ambiguous_at) WHERE ambiguous_at IS NOT NULL;
