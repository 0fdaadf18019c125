-- migrate:up
CREATE TABLE users (
    id             uuid        PRIMARY KEY,
    email          text        NOT NULL UNIQUE,
    name           text        NOT NULL,
    role           text        NOT NULL CHECK (role IN ('admin', 'member')),
    password_hash  text        NOT NULL,
    created_at     timestamptz NOT NULL
);

CREATE TABLE sessions (
    token_sha256  bytea       PRIMARY KEY,
    user_id       uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    expires_at    timestamptz NOT NULL
);
CREATE INDEX sessions_expires_at ON sessions (expires_at);

CREATE TABLE gpu_prices (
    type               text          PRIMARY KEY,
    price_per_hour     numeric(14,4) NOT NULL CHECK (price_per_hour >= 0),
    tokens_per_second  integer       NOT NULL CHECK (tokens_per_second > 0),
    active             boolean       NOT NULL DEFAULT true
);
COMMENT ON TABLE gpu_prices IS 'What one GPU of a type costs in USD an hour, and how fast it is taken to train.';

CREATE TABLE fees (
    name    text          PRIMARY KEY,
    amount  numeric(14,4) NOT NULL CHECK (amount >= 0)
);
COMMENT ON TABLE fees IS 'USD charged once a job: storage for the model it leaves.';

CREATE TABLE datasets (
    id              uuid    PRIMARY KEY,
    user_id         uuid    NOT NULL,
    name            text    NOT NULL,
    format          text    NOT NULL,
    status          text    NOT NULL,
    training_pairs  integer NOT NULL,
    tokens          bigint  NOT NULL,
    sha256          text    NOT NULL
);
COMMENT ON TABLE datasets IS 'What dataset.validated told; the artifacts service owns the data sets.';

CREATE TABLE jobs (
    id                   uuid             PRIMARY KEY,
    user_id              uuid             NOT NULL REFERENCES users,
    name                 text             NOT NULL,
    preset_id            text             NOT NULL,
    gpu                  jsonb            NOT NULL,
    submitted            jsonb            NOT NULL,
    spec                 jsonb            NOT NULL,
    pricing              jsonb            NOT NULL,
    estimated_cost       numeric(14,4)    NOT NULL,
    dataset              jsonb            NOT NULL,
    planned_steps        bigint           NOT NULL,
    planned_epochs       integer          NOT NULL,
    queued_at            timestamptz      NOT NULL,
    cancel_requested_at  timestamptz,
    status               text             NOT NULL CHECK
        (status IN ('queued', 'initializing', 'running', 'completed', 'failed', 'cancelled')),
    attempt              integer          NOT NULL,
    seq                  bigint           NOT NULL,
    latest               jsonb,
    metrics              jsonb            NOT NULL,
    ending               jsonb,
    artifact             jsonb
);
CREATE INDEX jobs_newest ON jobs (user_id, id DESC);
COMMENT ON COLUMN jobs.id IS 'A UUIDv7, so that newer jobs have greater ids.';
COMMENT ON COLUMN jobs.latest IS 'The newest job.progress by (attempt, seq), without its points.';
COMMENT ON COLUMN jobs.metrics IS 'The last known reading of each metric, with the (attempt, seq) that brought it.';
COMMENT ON COLUMN jobs.ending IS 'What job.completed told: times, cost, tokens, error.';
COMMENT ON COLUMN jobs.artifact IS 'What artifact.ready told: the artifact''s id and the cost of its storage.';

-- migrate:down
DROP TABLE jobs;
DROP TABLE datasets;
DROP TABLE fees;
DROP TABLE gpu_prices;
DROP TABLE sessions;
DROP TABLE users;
