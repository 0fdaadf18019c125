-- migrate:up
CREATE TABLE models (
    id               uuid          PRIMARY KEY,
    job_id           uuid          NOT NULL UNIQUE,
    user_id          uuid          NOT NULL,
    name             text          NOT NULL,
    version          text          NOT NULL DEFAULT '1.0.0',
    status           text          NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'stored', 'failed')),
    cluster          text          NOT NULL,
    external_job_id  text          NOT NULL,
    spec             jsonb         NOT NULL,
    gpu              jsonb         NOT NULL,
    dataset          jsonb         NOT NULL,
    pricing          jsonb         NOT NULL,
    trained_tokens   bigint        NOT NULL,
    started_at       timestamptz   NOT NULL,
    finished_at      timestamptz   NOT NULL,
    cost             numeric(14,4) NOT NULL,
    curve            jsonb,
    quality          jsonb,
    created_at       timestamptz   NOT NULL DEFAULT now(),
    tries            integer       NOT NULL DEFAULT 0,
    problem          text,
    fence            integer       NOT NULL DEFAULT 0,
    leased_until     timestamptz   NOT NULL DEFAULT now()
);
CREATE INDEX models_of_user ON models (user_id, created_at DESC);
CREATE INDEX models_to_transfer ON models (cluster, leased_until) WHERE status = 'pending';

CREATE TABLE model_files (
    model_id  uuid   NOT NULL REFERENCES models ON DELETE CASCADE,
    name      text   NOT NULL,
    size      bigint NOT NULL,
    sha256    text   NOT NULL,
    PRIMARY KEY (model_id, name)
);

CREATE TABLE curves (
    job_id   uuid    PRIMARY KEY,
    attempt  integer NOT NULL,
    seq      integer NOT NULL,
    summary  jsonb   NOT NULL
);

-- migrate:down
DROP TABLE curves;
DROP TABLE model_files;
DROP TABLE models;
