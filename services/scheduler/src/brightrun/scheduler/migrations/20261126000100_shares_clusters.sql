-- migrate:up
CREATE TABLE users (
    user_id       uuid   PRIMARY KEY,
    weight        float8 NOT NULL DEFAULT 1 CHECK (weight > 0),
    quota_gpus    int    CHECK (quota_gpus >= 0),  -- null: the setting's
    virtual_time  float8 NOT NULL DEFAULT 0        -- GPU-seconds charged, divided by the weight
);
INSERT INTO users (user_id) SELECT DISTINCT user_id FROM queue;

-- What the virtual time of somebody who comes back starts from: it never goes back.
CREATE TABLE virtual_clock (
    single  bool   PRIMARY KEY DEFAULT true CHECK (single),
    moment  float8 NOT NULL DEFAULT 0
);
INSERT INTO virtual_clock DEFAULT VALUES;

ALTER TABLE queue
    ADD gpu_type          text,
    ADD home              text     NOT NULL DEFAULT '',    -- the cluster that it goes back to while that can be used
    ADD resume_from       text,                            -- the run there whose last checkpoint it goes on from
    ADD urgency           smallint NOT NULL DEFAULT 1,     -- 0 low, 1 normal, 2 high, 3 urgent
    ADD overtaken         int      NOT NULL DEFAULT 0,     -- jobs that took GPUs it was waiting for
    ADD expected_seconds  float8   NOT NULL DEFAULT 3600;
UPDATE queue SET gpu_type = job -> 'gpu' ->> 'type';
ALTER TABLE queue ALTER gpu_type SET NOT NULL;
DROP INDEX queue_waiting;
-- Jobs of a user that fit in the same places stand together, in the order in which they are to run.
CREATE INDEX queue_waiting ON queue (user_id, gpu_type, gpus, home, urgency DESC, queued_at, job_id)
    WHERE state = 'waiting';

ALTER TABLE attempts
    ADD user_id      uuid,
    ADD gpu_type     text,
    ADD gpus         int,
    ADD charged      float8 NOT NULL DEFAULT 0,      -- GPU-seconds of the user's virtual time, until the end is known
    ADD resume_from  text,
    ADD unsure       bool   NOT NULL DEFAULT false,  -- an earlier submission may have reached the cluster
    ADD accepted_at  timestamptz,
    ADD expected_end timestamptz,
    ADD ended_at     timestamptz;
UPDATE attempts a SET user_id = q.user_id, gpu_type = q.gpu_type, gpus = q.gpus, accepted_at = a.created_at
    FROM queue q WHERE q.job_id = a.job_id;
ALTER TABLE attempts ALTER user_id SET NOT NULL, ALTER gpu_type SET NOT NULL, ALTER gpus SET NOT NULL;
CREATE INDEX attempts_held ON attempts (user_id) INCLUDE (gpus) WHERE state IN ('submitting', 'live');
DROP INDEX attempts_live;
CREATE INDEX attempts_live ON attempts (cluster, accepted_at) WHERE state = 'live';
CREATE INDEX attempts_ended ON attempts (ended_at) WHERE outcome = 'completed';

ALTER TABLE clusters
    ADD capabilities  jsonb,
    ADD pools         jsonb,        -- its GPUs by type, as it reported them; null before its first answer
    ADD asked_at      timestamptz,  -- when it was asked for that report
    ADD answered_at   timestamptz,  -- its last good answer
    ADD full_until    timestamptz,  -- it has just refused a job for want of GPUs, or could not be reached
    ADD drained_at    timestamptz,
    ADD problem       text;

-- migrate:down
ALTER TABLE clusters DROP capabilities, DROP pools, DROP asked_at, DROP answered_at, DROP full_until, DROP drained_at,
    DROP problem;
DROP INDEX attempts_ended;
DROP INDEX attempts_live;
CREATE INDEX attempts_live ON attempts (cluster) WHERE state = 'live';
ALTER TABLE attempts DROP user_id, DROP gpu_type, DROP gpus, DROP charged, DROP resume_from, DROP unsure,
    DROP accepted_at, DROP expected_end, DROP ended_at;
DROP INDEX queue_waiting;
CREATE INDEX queue_waiting ON queue (queued_at, job_id) WHERE state = 'waiting';
ALTER TABLE queue DROP gpu_type, DROP home, DROP resume_from, DROP urgency, DROP overtaken, DROP expected_seconds;
DROP TABLE virtual_clock;
DROP TABLE users;
