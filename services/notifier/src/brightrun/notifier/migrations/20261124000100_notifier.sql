-- migrate:up
CREATE TABLE notifications (
    id               uuid         PRIMARY KEY,
    source_event_id  uuid         NOT NULL UNIQUE,
    user_id          uuid         NOT NULL,
    type             text         NOT NULL,
    title            text         NOT NULL,
    message          text         NOT NULL,
    priority         text         NOT NULL CHECK (priority IN ('low', 'medium', 'high')),
    action_url       text         NOT NULL,
    metadata         jsonb        NOT NULL,
    read_at          timestamptz,
    created_at       timestamptz  NOT NULL
);
CREATE INDEX notifications_newest ON notifications (user_id, created_at DESC, id DESC);
CREATE INDEX notifications_unread ON notifications (user_id, created_at DESC, id DESC) WHERE read_at IS NULL;

CREATE TABLE webhook_endpoints (
    id               uuid         PRIMARY KEY,
    user_id          uuid         NOT NULL,
    url              text         NOT NULL,
    description      text         NOT NULL,
    event_types      text[]       NOT NULL,
    enabled          boolean      NOT NULL DEFAULT true,
    disabled_reason  text         CHECK (disabled_reason IN ('user', 'gone', 'failing')),
    failing_since    timestamptz,
    failures         integer      NOT NULL DEFAULT 0,
    retry_at         timestamptz,
    secret           bytea        NOT NULL,
    secret_hint      text         NOT NULL,
    previous_secret  bytea,
    previous_until   timestamptz,
    created_at       timestamptz  NOT NULL DEFAULT now(),
    updated_at       timestamptz  NOT NULL DEFAULT now(),
    CHECK (enabled = (disabled_reason IS NULL)),
    CHECK ((previous_secret IS NULL) = (previous_until IS NULL))
);
COMMENT ON COLUMN webhook_endpoints.failures IS 'in a row';
COMMENT ON COLUMN webhook_endpoints.retry_at IS 'the circuit breaker is open: nothing new is sent before';
COMMENT ON COLUMN webhook_endpoints.secret IS 'sealed with the service''s webhook key';
CREATE INDEX webhook_endpoints_of_user ON webhook_endpoints (user_id, id DESC);

CREATE TABLE webhook_deliveries (
    id            uuid         PRIMARY KEY,
    endpoint_id   uuid         NOT NULL REFERENCES webhook_endpoints ON DELETE CASCADE,
    event_id      uuid         NOT NULL,
    event_type    text         NOT NULL,
    body          text         NOT NULL,
    status        text         NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'delivered', 'failed')),
    attempts      integer      NOT NULL DEFAULT 0,
    due_at        timestamptz  NOT NULL DEFAULT now(),
    leased_until  timestamptz,
    fence         bigint       NOT NULL DEFAULT 0,
    created_at    timestamptz  NOT NULL DEFAULT now(),
    UNIQUE (endpoint_id, event_id)
);
COMMENT ON COLUMN webhook_deliveries.attempts IS 'since the event was new, or last replayed';
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (due_at) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_leased ON webhook_deliveries (endpoint_id) WHERE leased_until IS NOT NULL;
CREATE INDEX webhook_deliveries_newest ON webhook_deliveries (endpoint_id, id DESC);
CREATE INDEX webhook_deliveries_oldest ON webhook_deliveries (created_at);

CREATE TABLE webhook_attempts (
    delivery_id  uuid         NOT NULL REFERENCES webhook_deliveries ON DELETE CASCADE,
    number       integer      NOT NULL,
    at           timestamptz  NOT NULL,
    status_code  integer,
    duration_ms  integer      NOT NULL,
    error        text,
    PRIMARY KEY (delivery_id, number)
);

-- migrate:down
DROP TABLE webhook_attempts, webhook_deliveries, webhook_endpoints, notifications;
