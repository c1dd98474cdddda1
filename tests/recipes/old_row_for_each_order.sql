-- The same queue, later: a row for each order, what it consists of as JSON.
CREATE TYPE operationtype AS ENUM ('DEDUCTION', 'REFUND', 'ADJUSTMENT');
CREATE TYPE operationstatus AS ENUM ('PENDING', 'PROCESSING', 'COMPLETED', 'FAILED', 'CANCELLED');
CREATE TABLE allegro_tokens (id_ varchar PRIMARY KEY, account_name varchar);
CREATE TABLE allegro_orders (id varchar PRIMARY KEY);
CREATE TABLE pending_stock_operations (
    id uuid NOT NULL PRIMARY KEY,
    token_id varchar NOT NULL REFERENCES allegro_tokens (id_),
    order_id varchar NOT NULL,
    allegro_order_id varchar REFERENCES allegro_orders (id),
    operation_type operationtype NOT NULL,
    line_items json NOT NULL,
    warehouse varchar NOT NULL,
    status operationstatus NOT NULL,
    retry_count integer NOT NULL,
    next_retry_at timestamp without time zone NOT NULL,
    created_at timestamp without time zone NOT NULL,
    updated_at timestamp without time zone NOT NULL,
    completed_at timestamp without time zone,
    error_message text,
    UNIQUE (token_id, order_id)
);
CREATE TABLE stock_synchronization_logs (
    id uuid NOT NULL PRIMARY KEY,
    operation_id uuid NOT NULL REFERENCES pending_stock_operations (id),
    action varchar NOT NULL,
    status operationstatus NOT NULL,
    details json,
    "timestamp" timestamp without time zone NOT NULL,
    execution_time_ms integer
);
