-- migrate:up
CREATE TABLE datasets (
    id              uuid        PRIMARY KEY,
    user_id         uuid        NOT NULL,
    name            text        NOT NULL,
    format          text        NOT NULL,
    status          text        NOT NULL DEFAULT 'uploaded'
                    CHECK (status IN ('uploaded', 'validating', 'ready', 'invalid')),
    size            bigint      NOT NULL,
    sha256          text        NOT NULL,
    training_pairs  bigint      NOT NULL DEFAULT 0,
    tokens          bigint      NOT NULL DEFAULT 0,
    duplicates      bigint      NOT NULL DEFAULT 0,
    error_count     bigint      NOT NULL DEFAULT 0,
    errors_by_code  jsonb       NOT NULL DEFAULT '{}',
    created_at      timestamptz NOT NULL DEFAULT now(),
    validated_at    timestamptz,
    fence           integer     NOT NULL DEFAULT 0,
    leased_until    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX datasets_of_user ON datasets (user_id, created_at DESC);
CREATE INDEX datasets_to_validate ON datasets (leased_until) WHERE status IN ('uploaded', 'validating');

CREATE TABLE dataset_errors (
    dataset_id  uuid    NOT NULL REFERENCES datasets ON DELETE CASCADE,
    position    integer NOT NULL,
    line        bigint  NOT NULL,
    path        text    NOT NULL,
    code        text    NOT NULL,
    message     text    NOT NULL,
    PRIMARY KEY (dataset_id, position)
);

-- migrate:down
DROP TABLE dataset_errors;
DROP TABLE datasets;
