-- migrate:up

-- Accounts

CREATE TABLE users (
    id             uuid        PRIMARY KEY,
    email          text        NOT NULL UNIQUE,
    name           text        NOT NULL,
    role           text        NOT NULL CHECK (role IN ('admin', 'member')),
    password_hash  text,
    created_at     timestamptz NOT NULL,
    disabled_at    timestamptz
);
COMMENT ON COLUMN users.password_hash IS 'NULL where only the identity provider lets its owner in.';

CREATE TABLE identities (
    issuer   text NOT NULL,
    subject  text NOT NULL,
    user_id  uuid NOT NULL REFERENCES users,
    PRIMARY KEY (issuer, subject)
);
COMMENT ON TABLE identities IS 'The account of each subject of the identity provider.';

CREATE TABLE sessions (
    token_sha256  bytea       PRIMARY KEY,
    id            uuid        NOT NULL DEFAULT gen_random_uuid(),
    user_id       uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    client        text        NOT NULL DEFAULT '',
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz NOT NULL
);
CREATE INDEX sessions_expires_at ON sessions (expires_at);
CREATE INDEX sessions_user ON sessions (user_id);

CREATE TABLE sign_in_codes (
    code_sha256  bytea       PRIMARY KEY,
    user_id      uuid        NOT NULL REFERENCES users,
    challenge    text        NOT NULL,
    expires_at   timestamptz NOT NULL
);
COMMENT ON TABLE sign_in_codes IS 'Sign-ins with the identity provider whose token is not fetched yet.';
COMMENT ON COLUMN sign_in_codes.challenge IS 'The S256 challenge of RFC 7636 whose verifier fetches the token.';

CREATE TABLE api_keys (
    id            uuid        PRIMARY KEY,
    user_id       uuid        NOT NULL REFERENCES users,
    name          text        NOT NULL,
    scopes        text[]      NOT NULL,
    prefix        text        NOT NULL,
    key_sha256    bytea       NOT NULL UNIQUE,
    created_at    timestamptz NOT NULL,
    expires_at    timestamptz,
    last_used_at  timestamptz,
    revoked_at    timestamptz
);
CREATE INDEX api_keys_user ON api_keys (user_id) WHERE revoked_at IS NULL;
COMMENT ON COLUMN api_keys.prefix IS 'The first characters of the key, for its owner.';
COMMENT ON COLUMN api_keys.last_used_at IS 'To the minute.';

CREATE TABLE login_attempts (
    source         bytea       PRIMARY KEY,
    attempts       integer     NOT NULL DEFAULT 0,
    last_at        timestamptz NOT NULL DEFAULT now(),
    blocked_until  timestamptz,
    signed_in_at   timestamptz
);
COMMENT ON TABLE login_attempts IS 'Attempts to sign in since the last that succeeded.';
COMMENT ON COLUMN login_attempts.source IS 'SHA-256 of an account, a network, or an account in a network.';
COMMENT ON COLUMN login_attempts.signed_in_at IS 'The last sign-in to the account from the network.';

-- Prices

CREATE TABLE prices (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text        NOT NULL CHECK (kind IN ('gpu', 'base_model', 'fee')),
    name        text        NOT NULL,
    terms       jsonb       NOT NULL,
    active      boolean     NOT NULL DEFAULT true,
    valid_from  timestamptz NOT NULL DEFAULT now(),
    changed_by  uuid        REFERENCES users ON DELETE SET NULL
);
CREATE INDEX prices_newest ON prices (kind, name, id DESC);
COMMENT ON TABLE prices IS 'A journal: the newest row of a (kind, name) is in force, the others are its history.';
COMMENT ON COLUMN prices.active IS 'Whether jobs may ask for it.';
COMMENT ON COLUMN prices.changed_by IS 'The admin; NULL for the rows below.';

INSERT INTO prices (kind, name, terms) VALUES
    ('gpu', 'A100-40GB', '{"price_per_hour": "2.8000", "tokens_per_second": 1500, "memory_gib": "40"}'),
    ('gpu', 'A100-80GB', '{"price_per_hour": "3.5000", "tokens_per_second": 1800, "memory_gib": "80"}'),
    -- Electricity of one machine; slower than the tiny model trains, so that estimates err on the safe side.
    ('gpu', 'CPU',       '{"price_per_hour": "0.0500", "tokens_per_second": 2000, "memory_gib": null}'),
    ('gpu', 'H100',      '{"price_per_hour": "4.2000", "tokens_per_second": 2200, "memory_gib": "80"}'),
    ('gpu', 'V100-32GB', '{"price_per_hour": "2.1000", "tokens_per_second": 1200, "memory_gib": "32"}'),
    ('fee', 'storage',   '{"amount": "0.5000"}'),
    ('base_model', 'tiny',
     '{"aliases": ["gpt-4o-mini", "gpt-4o-mini-2024-07-18"],
       "shape": {"parameters": 1049728, "layers": 4, "hidden_size": 128, "intermediate_size": 384, "vocabulary": 2048,
                 "attention_heads": 4, "kv_heads": 2, "head_size": 32}}');

-- Data sets

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
COMMENT ON TABLE datasets IS 'Projection of dataset.validated; the artifacts service owns the data sets.';

CREATE TABLE audit_log (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    occurred_at  timestamptz NOT NULL DEFAULT now(),
    user_id      uuid        NOT NULL,
    email        text        NOT NULL,
    name         text        NOT NULL,
    action       text        NOT NULL,
    target       text        NOT NULL,
    details      jsonb       NOT NULL,
    outcome      text
);
COMMENT ON TABLE audit_log IS 'What administrators changed. Only the outcome of an entry is ever updated.';
COMMENT ON COLUMN audit_log.outcome IS 'done, or the code of an error; NULL until the peer service has answered.';

CREATE TABLE deletions (
    object_id   uuid        PRIMARY KEY,
    kind        text        NOT NULL CHECK (kind IN ('dataset', 'model')),
    user_id     uuid        NOT NULL,
    decided_at  timestamptz NOT NULL DEFAULT now(),
    done        boolean     NOT NULL DEFAULT false
);
CREATE INDEX deletions_pending ON deletions (decided_at) WHERE NOT done;
COMMENT ON TABLE deletions IS 'Data sets and models that no job may use any more; done once the artifacts service has deleted them.';

-- Jobs

CREATE TABLE jobs (
    id                   uuid          PRIMARY KEY,
    user_id              uuid          NOT NULL REFERENCES users,
    name                 text          NOT NULL,

    -- the request
    dialect              text          NOT NULL DEFAULT 'api' CHECK (dialect IN ('api', 'openai')),
    preset_id            text          NOT NULL,
    gpu                  jsonb         NOT NULL,
    submitted            jsonb         NOT NULL,
    suffix               text,
    metadata             jsonb         NOT NULL DEFAULT '{}',
    retry_of             uuid,
    cloned_from          uuid,
    from_checkpoint      boolean       NOT NULL DEFAULT false,
    request_sha256       bytea,
    repeated             boolean       NOT NULL DEFAULT false,

    -- what was promised
    spec                 jsonb         NOT NULL,
    dataset              jsonb         NOT NULL,
    validation           jsonb,
    start                jsonb,
    pricing              jsonb         NOT NULL,
    estimated_cost       numeric(14,4) NOT NULL,
    planned_steps        bigint        NOT NULL,
    planned_epochs       integer       NOT NULL,
    planned_seconds      bigint,
    awaiting_dataset     jsonb,
    queued_at            timestamptz   NOT NULL,
    dataset_id           uuid          GENERATED ALWAYS AS ((dataset ->> 'dataset_id')::uuid) STORED,
    validation_id        uuid          GENERATED ALWAYS AS ((spec ->> 'validation_dataset_id')::uuid) STORED,
    start_id             uuid          GENERATED ALWAYS AS ((spec ->> 'init_from')::uuid) STORED,

    -- what its user asked for since
    cancel_requested_at  timestamptz,
    pause_requested_at   timestamptz,
    pause_turn           integer       NOT NULL DEFAULT 0,

    -- projection of job events
    status               text          NOT NULL CHECK
        (status IN ('queued', 'initializing', 'running', 'paused', 'completed', 'failed', 'cancelled')),
    attempt              integer       NOT NULL,
    seq                  bigint        NOT NULL,
    latest               jsonb,
    metrics              jsonb         NOT NULL,
    segments             jsonb         NOT NULL DEFAULT '[]',
    unpausable_attempt   integer       NOT NULL DEFAULT 0,
    ending               jsonb,
    artifact             jsonb,
    runs                 jsonb         NOT NULL DEFAULT '[]'
);
CREATE INDEX jobs_newest ON jobs (user_id, id DESC);
CREATE INDEX jobs_status ON jobs (user_id, status, id DESC);
CREATE INDEX jobs_past ON jobs (id DESC) WHERE status = 'completed';
CREATE INDEX jobs_completed ON jobs (user_id, (ending ->> 'finished_at')) WHERE status = 'completed';
CREATE INDEX jobs_metadata ON jobs USING gin (metadata jsonb_path_ops);
CREATE INDEX jobs_request ON jobs (user_id, request_sha256, id DESC) WHERE request_sha256 IS NOT NULL;
CREATE INDEX jobs_of_dataset ON jobs (user_id, dataset_id, id DESC);
CREATE INDEX jobs_of_validation ON jobs (user_id, validation_id, id DESC) WHERE validation_id IS NOT NULL;
CREATE INDEX jobs_of_start ON jobs (user_id, start_id, id DESC) WHERE start_id IS NOT NULL;
CREATE INDEX jobs_awaiting_dataset ON jobs (dataset_id) WHERE awaiting_dataset IS NOT NULL;
CREATE INDEX jobs_awaiting_validation ON jobs (validation_id) WHERE awaiting_dataset IS NOT NULL;
COMMENT ON COLUMN jobs.id IS 'A UUIDv7, so that newer jobs have greater ids.';
COMMENT ON COLUMN jobs.dialect IS 'The dialect that the job was submitted in.';
COMMENT ON COLUMN jobs.retry_of IS 'The failed or cancelled job that this one repeats; it may be deleted.';
COMMENT ON COLUMN jobs.cloned_from IS 'The job that this one was made from; it may be deleted.';
COMMENT ON COLUMN jobs.request_sha256 IS 'Digest of the request, where its client repeats requests without a key (OpenAI).';
COMMENT ON COLUMN jobs.repeated IS 'Whether the request said that it was a repetition.';
COMMENT ON COLUMN jobs.validation IS 'The data set to evaluate on, like dataset.';
COMMENT ON COLUMN jobs.start IS 'The model whose adapter the training continues, as it was at submission.';
COMMENT ON COLUMN jobs.awaiting_dataset IS 'Set while a data set is not validated and nothing is published: the speed for the estimate.';
COMMENT ON COLUMN jobs.pause_turn IS 'Number of requests to pause and to resume; odd: to pause.';
COMMENT ON COLUMN jobs.latest IS 'The newest job.progress by (attempt, seq), without its points.';
COMMENT ON COLUMN jobs.metrics IS 'The last reading of each metric, with the (attempt, seq) that reported it.';
COMMENT ON COLUMN jobs.segments IS 'Billed segments of attempts that ended in a pause.';
COMMENT ON COLUMN jobs.unpausable_attempt IS 'The newest attempt whose cluster cannot save and resume it.';
COMMENT ON COLUMN jobs.ending IS 'From job.completed: times, cost, tokens, error.';
COMMENT ON COLUMN jobs.artifact IS 'From artifact.ready: the artifact''s id and the cost of its storage.';

COMMENT ON COLUMN jobs.runs IS 'From job.started: attempt, cluster and the run''s id there.';

CREATE TABLE checkpoint_copies (
    job_id      uuid        NOT NULL,
    attempt     integer     NOT NULL,
    step        bigint      NOT NULL,
    user_id     uuid        NOT NULL,
    model_id    uuid        NOT NULL UNIQUE,
    stored      boolean     NOT NULL DEFAULT false,
    expires_at  timestamptz NOT NULL,
    PRIMARY KEY (job_id, attempt, step)
);
CREATE INDEX checkpoint_copies_expired ON checkpoint_copies (expires_at);
COMMENT ON TABLE checkpoint_copies IS 'Models that hold copies of checkpoints; deleted once they expired and no job starts from them. The job may be deleted.';
COMMENT ON COLUMN checkpoint_copies.stored IS 'Whether the artifacts service has all files.';

CREATE TABLE idempotency_keys (
    user_id         uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    key             text        NOT NULL,
    request_sha256  bytea       NOT NULL,
    job_id          uuid        NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, key)
);
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);
COMMENT ON TABLE idempotency_keys IS 'The job of each Idempotency-Key, for 24 hours. The job may be deleted.';

CREATE TABLE result_sizes (
    job_id  uuid   PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
    bytes   bigint NOT NULL
);
COMMENT ON TABLE result_sizes IS 'Sizes of the results files of completed jobs, once they were rendered.';

-- migrate:down
DROP TABLE result_sizes;
DROP TABLE checkpoint_copies;
DROP TABLE idempotency_keys;
DROP TABLE jobs;
DROP TABLE deletions;
DROP TABLE audit_log;
DROP TABLE datasets;
DROP TABLE prices;
DROP TABLE login_attempts;
DROP TABLE api_keys;
DROP TABLE sign_in_codes;
DROP TABLE sessions;
DROP TABLE identities;
DROP TABLE users;
