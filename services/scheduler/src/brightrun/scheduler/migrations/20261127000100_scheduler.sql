-- migrate:up

-- Users' rights to GPUs, and what they have used of them.
CREATE TABLE users (
    user_id       uuid   PRIMARY KEY,
    weight        float8 NOT NULL DEFAULT 1 CHECK (weight > 0),
    quota_gpus    int    CHECK (quota_gpus >= 0),  -- null: the setting's
    virtual_time  float8 NOT NULL DEFAULT 0        -- GPU-seconds charged, divided by the weight
);

-- The virtual time that a user who returns starts from. It never goes back.
CREATE TABLE virtual_clock (
    single  bool   PRIMARY KEY DEFAULT true CHECK (single),
    moment  float8 NOT NULL DEFAULT 0
);
INSERT INTO virtual_clock DEFAULT VALUES;

-- Every job that was ever queued. docs/scheduling.md draws its states.
CREATE TABLE queue (
    job_id               uuid        PRIMARY KEY,
    user_id              uuid        NOT NULL,
    gpu_type             text        NOT NULL,
    gpus                 int         NOT NULL,
    base_model           text        NOT NULL,
    inputs               bool        NOT NULL,            -- a validation data set of its own, or an adapter to start from
    job                  jsonb       NOT NULL,            -- the JobQueued event
    state                text        NOT NULL CHECK (state IN ('waiting', 'submitting', 'live', 'paused', 'over')),
    attempt              int         NOT NULL DEFAULT 0,  -- the number of the newest one
    priority             smallint    NOT NULL DEFAULT 1,  -- 0 low, 1 normal, 2 high, 3 urgent
    queued_at            timestamptz NOT NULL,
    not_before           timestamptz NOT NULL DEFAULT now(),  -- the end of the pause before a retry
    expected_seconds     float8      NOT NULL,            -- of training, by its estimate
    times_bypassed       int         NOT NULL DEFAULT 0,  -- jobs that took GPUs it was waiting for
    preferred_cluster    text        NOT NULL DEFAULT '', -- it goes back there while that is usable; empty: anywhere
    resume_from          text,                            -- the run there whose last checkpoint it resumes
    lost_attempts        int         NOT NULL DEFAULT 0,  -- those that clusters lost
    cancel_requested_at  timestamptz,
    finish_requested_at  timestamptz,                     -- it is to train no further and deliver
    pause_requested_at   timestamptz,                     -- null: it is to run
    pause_turn           int         NOT NULL DEFAULT 0   -- the newest request to pause or to resume that is known
);
-- Jobs of a user that fit in the same places stand together, in the order in which they are to run.
CREATE INDEX queue_waiting ON queue
    (user_id, gpu_type, gpus, base_model, inputs, preferred_cluster, priority DESC, queued_at, job_id)
    WHERE state = 'waiting';
CREATE INDEX queue_stopping ON queue (job_id)
    WHERE state IN ('submitting', 'live')
      AND (cancel_requested_at IS NOT NULL OR pause_requested_at IS NOT NULL OR finish_requested_at IS NOT NULL);

-- Requests to stop that came before their job: topics are not ordered between each other.
CREATE TABLE early_stop_requests (
    job_id        uuid        PRIMARY KEY,
    turn          int,                                    -- of a request to pause; null: a cancellation
    requested_at  timestamptz NOT NULL DEFAULT now()
);

-- Tries of jobs on clusters. A cluster has at most one run of an attempt.
CREATE TABLE attempts (
    job_id              uuid        NOT NULL REFERENCES queue,
    attempt             int         NOT NULL,
    user_id             uuid        NOT NULL,
    cluster             text        NOT NULL,
    gpu_type            text        NOT NULL,
    gpus                int         NOT NULL,
    state               text        NOT NULL CHECK (state IN ('submitting', 'given_back', 'live', 'over')),
    created_at          timestamptz NOT NULL DEFAULT now(),
    -- Submission
    fence               int         NOT NULL DEFAULT 1,   -- the fencing token: grows with each holder of the lease
    leased_until        timestamptz NOT NULL,
    maybe_delivered     bool        NOT NULL DEFAULT false,  -- an earlier submission may have reached the cluster
    resume_from         text,
    charged             float8      NOT NULL DEFAULT 0,   -- GPU-seconds, until the end is known
    -- The run
    external_job_id     text,                             -- the cluster's id of it
    accepted_at         timestamptz,
    started_at          timestamptz,                      -- by the cluster's clock
    expected_end        timestamptz,
    saved_step          bigint,                           -- of the last checkpoint
    checkpoint_seconds  float8,                           -- how long saving it took
    polled              jsonb,                            -- what polling its status has shown
    poll_at             timestamptz NOT NULL DEFAULT now(),
    -- Limits and stop signals
    allowed_seconds     float8,                           -- what max_cost and max_duration leave it; null without either
    limited_by          text        CHECK (limited_by IN ('budget', 'duration')),  -- which of them is the shorter
    stop_at             timestamptz,                      -- when it has to be stopped for that, by our clock
    stop_decided_at     timestamptz,                      -- it ends without a request, for that or because its job is over
    stop_sent           text        CHECK (stop_sent IN ('cancel', 'checkpoint', 'finish')),
    stop_sent_at        timestamptz,
    stop_acknowledged   text,                             -- the last signal that the cluster acknowledged
    -- The end
    outcome             text,                             -- the run's last status, or lost
    error               jsonb,
    last_step           bigint,                           -- that the run had reached
    ended_at            timestamptz,
    finished_at         timestamptz,                      -- of what is billed, by the cluster's clock
    released_at         timestamptz,                      -- when it gave its GPUs back, if that was later
    billed              bool        NOT NULL DEFAULT false,
    PRIMARY KEY (job_id, attempt)
);
CREATE INDEX attempts_submitting ON attempts (leased_until) WHERE state = 'submitting';
CREATE INDEX attempts_live ON attempts (cluster, accepted_at) WHERE state = 'live';
CREATE INDEX attempts_holding_gpus ON attempts (user_id) INCLUDE (gpus) WHERE state IN ('submitting', 'live');
CREATE INDEX attempts_completed ON attempts (ended_at) WHERE outcome = 'completed';
CREATE INDEX attempts_limited ON attempts (stop_at)
    WHERE state = 'live' AND stop_decided_at IS NULL AND stop_at IS NOT NULL;
CREATE INDEX attempts_stopping ON attempts (cluster) WHERE state = 'live' AND stop_decided_at IS NOT NULL;
CREATE INDEX attempts_polled ON attempts (cluster, poll_at) WHERE state = 'live';
CREATE INDEX attempts_run ON attempts (external_job_id) WHERE state = 'live';
CREATE INDEX attempts_abandoned ON attempts (cluster)
    WHERE outcome = 'lost' AND external_job_id IS NOT NULL AND stop_acknowledged IS DISTINCT FROM 'cancel';

-- Every cluster that was ever configured, and its last report.
CREATE TABLE clusters (
    name           text   PRIMARY KEY,
    capabilities   jsonb,                             -- null before its first report
    pools          jsonb,                             -- its GPUs by type; null before its first report
    pausable       bool   NOT NULL DEFAULT false,     -- it saves runs that it ends, and resumes from there
    asked_at       timestamptz,                       -- when it was asked for that report
    answered_at    timestamptz,                       -- its last usable response
    unanswered_at  timestamptz,                       -- its last unusable response
    silent_since   timestamptz,                       -- when unusable responses began; null while it answers
    problem        text,                              -- why the last response was unusable
    full_until     timestamptz,                       -- it has just been busy, or could not be reached
    drained_at     timestamptz,
    cursor         bigint NOT NULL DEFAULT 0          -- the last event of its stream that is applied and published
);

-- The one scheduler that reads a cluster's stream and compares its runs.
CREATE TABLE leaders (
    cluster    text        PRIMARY KEY,
    scheduler  uuid        NOT NULL,
    until      timestamptz NOT NULL
);

-- migrate:down
DROP TABLE leaders, clusters, attempts, early_stop_requests, queue, virtual_clock, users;
