-- migrate:up
CREATE TABLE queue (
    job_id               uuid        PRIMARY KEY,
    user_id              uuid        NOT NULL,
    gpus                 int         NOT NULL,
    job                  jsonb       NOT NULL,  -- the JobQueued event
    state                text        NOT NULL DEFAULT 'waiting'
                         CHECK (state IN ('waiting', 'submitting', 'live', 'over')),
    attempt              int         NOT NULL DEFAULT 0,
    not_before           timestamptz NOT NULL DEFAULT now(),
    cancel_requested_at  timestamptz,
    queued_at            timestamptz NOT NULL
);
CREATE INDEX queue_waiting ON queue (queued_at, job_id) WHERE state = 'waiting';

CREATE TABLE attempts (
    job_id           uuid        NOT NULL REFERENCES queue,
    attempt          int         NOT NULL,
    cluster          text        NOT NULL,
    state            text        NOT NULL DEFAULT 'submitting'
                     CHECK (state IN ('submitting', 'given_back', 'live', 'over')),
    fence            int         NOT NULL DEFAULT 1,  -- grows with each holder of the lease
    leased_until     timestamptz NOT NULL,
    external_job_id  text,
    cancel_sent_at   timestamptz,
    outcome          text,
    error            jsonb,
    created_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, attempt)
);
CREATE INDEX attempts_submitting ON attempts (leased_until) WHERE state = 'submitting';
CREATE INDEX attempts_live ON attempts (cluster) WHERE state = 'live';

-- Cancellations that came before their job: topics are not ordered between each other.
CREATE TABLE early_cancellations (
    job_id        uuid        PRIMARY KEY,
    requested_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE clusters (
    name    text   PRIMARY KEY,
    cursor  bigint NOT NULL DEFAULT 0  -- the last event of its stream whose effects are stored and published
);

-- migrate:down
DROP TABLE clusters;
DROP TABLE early_cancellations;
DROP TABLE attempts;
DROP TABLE queue;
