-- The outbox, its log, and what the daemon keeps for itself. README: "The tables".

CREATE TABLE :"schema".pending_stock_operations (
    id               uuid        NOT NULL DEFAULT gen_random_uuid(),
    token_id         text        COLLATE "C" NOT NULL,
    order_id         text        COLLATE "C" NOT NULL,
    allegro_order_id text,
    operation_type   text        NOT NULL DEFAULT 'deduction',
    sku              text        NOT NULL,
    quantity         integer     NOT NULL,
    warehouse        text        NOT NULL DEFAULT 'Ирина',
    status           text        NOT NULL DEFAULT 'pending',
    retry_count      integer     NOT NULL DEFAULT 0,
    max_retries      integer,
    next_retry_at    timestamptz NOT NULL DEFAULT now(),
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    completed_at     timestamptz,
    error_message    text,

    -- The daemon's own.
    seq              bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    attempts         integer     NOT NULL DEFAULT 0,
    attempted_at     timestamptz,
    claim_token      uuid,
    claim_no         integer,
    lease_until      timestamptz,

    CONSTRAINT pending_stock_operations_pkey PRIMARY KEY (id),

    -- A CHECK's name is what the order system's developer reads: it says the rule.
    -- Postgres checks them in the order of their names; cheap ones matter, they run at every UPDATE.
    CONSTRAINT token_id_is_a_uuid_in_lower_case CHECK (
        -- A regular expression with counted groups costs 2.3 us a row; this does the same in 0.3.
        token_id LIKE '________-____-____-____-____________'
        AND translate(token_id, '0123456789abcdef', '') = '----'),
    CONSTRAINT order_id_has_1_to_500_characters CHECK (char_length(order_id) BETWEEN 1 AND 500),
    -- The service decodes %2F before it routes: such an order can never be reached.
    CONSTRAINT order_id_has_no_slash_no_backslash_and_no_control_character CHECK (
        order_id !~ '[/\\\u0001-\u001f\u007f-\u009f]'),
    -- HTTP clients collapse these two: the request would go elsewhere.
    CONSTRAINT order_id_is_neither_one_dot_nor_two CHECK (order_id NOT IN ('.', '..')),
    CONSTRAINT operation_type_is_deduction_refund_or_adjustment CHECK (
        operation_type IN ('deduction', 'refund', 'adjustment')),
    CONSTRAINT sku_is_not_empty CHECK (sku <> ''),
    CONSTRAINT quantity_is_above_0_or_for_an_adjustment_not_0 CHECK (
        quantity > 0 OR (operation_type = 'adjustment' AND quantity <> 0)),
    CONSTRAINT status_is_pending_processing_completed_failed_or_cancelled CHECK (
        status IN ('pending', 'processing', 'completed', 'failed', 'cancelled')),
    CONSTRAINT retry_count_is_0_to_1000000 CHECK (retry_count BETWEEN 0 AND 1000000),
    CONSTRAINT max_retries_is_null_minus_1_0_or_more CHECK (max_retries >= -1),
    -- A row that is due at infinity would wait for ever, unseen; and a date before Christ or after
    -- 9999, a default of some languages, stops every client that cannot express it.
    CONSTRAINT next_retry_at_is_between_2000_and_9999 CHECK (
        next_retry_at >= '2000-01-01 00:00+00' AND next_retry_at < '9999-01-01 00:00+00'),
    CONSTRAINT created_at_and_updated_at_are_between_2000_and_9999 CHECK (
        created_at >= '2000-01-01 00:00+00' AND created_at < '9999-01-01 00:00+00'
        AND updated_at >= '2000-01-01 00:00+00' AND updated_at < '9999-01-01 00:00+00'),
    CONSTRAINT claim_goes_with_processing CHECK (
        (status = 'processing') = (claim_token IS NOT NULL)
        AND (status = 'processing') = (claim_no IS NOT NULL)
        AND (status = 'processing') = (lease_until IS NOT NULL)),
    CONSTRAINT completed_at_goes_with_completed CHECK (
        (status = 'completed') = (completed_at IS NOT NULL))
);

-- What is due, by account, oldest first: the claim reads its head and nothing else.
CREATE INDEX pending_stock_operations_due
    ON :"schema".pending_stock_operations (token_id, next_retry_at, seq) WHERE status = 'pending';

-- All rows of an order. The account is only included: as a key, also a second one, it would let the
-- planner walk through all of this index for what is due of an account, whenever it believes the table
-- to be empty (0004_settle.sql says when that is).
CREATE INDEX pending_stock_operations_order
    ON :"schema".pending_stock_operations (order_id) INCLUDE (token_id);

-- What is in flight: the look-up "is this order busy", the walk to expired leases, and the proof
-- that an order is never in two claims (both would number their rows from 1).
CREATE UNIQUE INDEX pending_stock_operations_in_flight
    ON :"schema".pending_stock_operations (order_id, token_id, claim_no) WHERE status = 'processing';

CREATE TABLE :"schema".stock_synchronization_logs (
    id                bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operation_id      uuid        NOT NULL
        REFERENCES :"schema".pending_stock_operations (id) ON DELETE CASCADE,
    action            text        NOT NULL,
    status            text        NOT NULL,
    details           jsonb       NOT NULL DEFAULT '{}',
    "timestamp"       timestamptz NOT NULL DEFAULT clock_timestamp(),
    execution_time_ms integer
);

CREATE INDEX stock_synchronization_logs_operation
    ON :"schema".stock_synchronization_logs (operation_id);

-- Orders that need more than their pending rows say: to be pushed again, to be verified, or with a
-- balance carried over from rows that cleanup removed. The order system never writes here.
CREATE TABLE :"schema".stock_sync_orders (
    order_id     text        COLLATE "C" NOT NULL,
    token_id     text        COLLATE "C" NOT NULL,
    balance      bigint      NOT NULL DEFAULT 0,
    push_due_at  timestamptz,             -- to be pushed for its own sake, from then on
    attempt      integer     NOT NULL DEFAULT 0,  -- such pushes in a row without success
    ambiguous_at timestamptz,             -- the service may still apply a call that ended then
    claim_token  uuid,
    lease_until  timestamptz,
    PRIMARY KEY (order_id, token_id),
    CONSTRAINT claim_has_a_lease CHECK ((claim_token IS NULL) = (lease_until IS NULL))
);

CREATE INDEX stock_sync_orders_due
    ON :"schema".stock_sync_orders (push_due_at) WHERE push_due_at IS NOT NULL;
CREATE INDEX stock_sync_orders_in_flight
    ON :"schema".stock_sync_orders (lease_until) WHERE claim_token IS NOT NULL;

-- Circuits: the service's (token_id '') and each account's that there is something to say of. An open
-- one lets a single probe through at a time, over all daemons.
CREATE TABLE :"schema".stock_sync_circuits (
    token_id     text        COLLATE "C" PRIMARY KEY,
    evidence     jsonb       NOT NULL DEFAULT '{}',   -- circuit.py
    is_clean     boolean     NOT NULL DEFAULT true,   -- no evidence: a proof need not be written down
    is_open      boolean     NOT NULL DEFAULT false,
    reason       text,
    opened_at    timestamptz,
    proven_at    timestamptz,                         -- something was proven then, to a second
    probes       integer     NOT NULL DEFAULT 0,      -- since it opened
    probe_at     timestamptz,                         -- the next one, not before
    probe_until  timestamptz,                         -- the one in flight: its lease
    probe_after  text        COLLATE "C" NOT NULL DEFAULT '',  -- accounts take turns
    paused_until timestamptz,                         -- planned maintenance, by hand
    paused_by    text
);

INSERT INTO :"schema".stock_sync_circuits (token_id) VALUES ('');

-- Who lives: each daemon's own row, renewed every few seconds, gone when it stops in order.
CREATE TABLE :"schema".stock_sync_daemons (
    id          uuid        PRIMARY KEY,
    host        text        NOT NULL,
    pid         integer     NOT NULL,
    version     text        NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    settled_at  timestamptz,
    is_listening boolean,                 -- NULL: it is set to poll only
    in_flight   integer     NOT NULL DEFAULT 0
);
