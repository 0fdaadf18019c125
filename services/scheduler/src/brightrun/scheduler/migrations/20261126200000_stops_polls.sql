-- migrate:up
ALTER TABLE queue DROP CONSTRAINT queue_state_check;
ALTER TABLE queue
    ADD CONSTRAINT queue_state_check CHECK (state IN ('waiting', 'submitting', 'live', 'paused', 'over')),
    ADD pause_turn          int NOT NULL DEFAULT 0,  -- the newest request to pause or to resume that was heard
    ADD pause_requested_at  timestamptz,             -- null: it shall run
    ADD losses              int NOT NULL DEFAULT 0;  -- attempts that clusters lost
UPDATE queue SET losses = greatest(attempt - 1, 0);
CREATE INDEX queue_stopping ON queue (job_id)
    WHERE state IN ('submitting', 'live') AND (cancel_requested_at IS NOT NULL OR pause_requested_at IS NOT NULL);

ALTER TABLE early_cancellations RENAME TO early_stops;
ALTER TABLE early_stops ADD turn int;  -- of a request to pause; null: a cancellation

ALTER TABLE attempts RENAME cancel_sent_at TO stop_sent_at;
ALTER TABLE attempts
    ADD stop_sent           text CHECK (stop_sent IN ('cancel', 'checkpoint', 'finish')),
    ADD stop_heard          text,             -- which of them the cluster has acknowledged
    ADD started_at          timestamptz,      -- by the cluster's clock
    ADD finished_at         timestamptz,
    ADD billed              bool NOT NULL DEFAULT false,
    ADD saved_step          bigint,           -- of the last checkpoint
    ADD checkpoint_seconds  float8,           -- how long saving it took
    ADD allowed_seconds     float8,           -- what max_cost and max_duration leave it; null without either
    ADD stop_for            text CHECK (stop_for IN ('budget', 'duration')),  -- which of them is the shorter
    ADD stop_at             timestamptz,      -- when it has to be stopped for that, by our clock
    ADD stop_decided_at     timestamptz,      -- it shall end by itself now, for that or because its job is over
    ADD polled              jsonb,            -- what polling its status has shown so far
    ADD poll_at             timestamptz NOT NULL DEFAULT now();
CREATE INDEX attempts_limited ON attempts (stop_at)
    WHERE state = 'live' AND stop_decided_at IS NULL AND stop_at IS NOT NULL;
CREATE INDEX attempts_ending ON attempts (cluster) WHERE state = 'live' AND stop_decided_at IS NOT NULL;
CREATE INDEX attempts_polled ON attempts (cluster, poll_at) WHERE state = 'live';
CREATE INDEX attempts_abandoned ON attempts (cluster)
    WHERE outcome = 'lost' AND external_job_id IS NOT NULL AND stop_heard IS DISTINCT FROM 'cancel';
CREATE INDEX attempts_run ON attempts (external_job_id) WHERE state = 'live';

ALTER TABLE clusters
    ADD unanswered_at  timestamptz,  -- when it last gave no good answer
    ADD silent_since   timestamptz;  -- when that began; null while it answers

-- What one scheduler at a time does, such as listening to a cluster's stream.
CREATE TABLE duties (
    name        text        PRIMARY KEY,
    holder      uuid        NOT NULL,
    held_until  timestamptz NOT NULL
);

-- migrate:down
DROP TABLE duties;
ALTER TABLE clusters DROP unanswered_at, DROP silent_since;
DROP INDEX attempts_run;
DROP INDEX attempts_abandoned;
DROP INDEX attempts_polled;
DROP INDEX attempts_ending;
DROP INDEX attempts_limited;
ALTER TABLE attempts DROP stop_sent, DROP stop_heard, DROP started_at, DROP finished_at, DROP billed, DROP saved_step,
    DROP checkpoint_seconds, DROP allowed_seconds, DROP stop_for, DROP stop_at, DROP stop_decided_at, DROP polled,
    DROP poll_at;
ALTER TABLE attempts RENAME stop_sent_at TO cancel_sent_at;
DELETE FROM early_stops WHERE turn IS NOT NULL;
ALTER TABLE early_stops DROP turn;
ALTER TABLE early_stops RENAME TO early_cancellations;
DROP INDEX queue_stopping;
UPDATE queue SET state = 'waiting' WHERE state = 'paused';
ALTER TABLE queue DROP CONSTRAINT queue_state_check;
ALTER TABLE queue DROP pause_turn, DROP pause_requested_at, DROP losses,
    ADD CONSTRAINT queue_state_check CHECK (state IN ('waiting', 'submitting', 'live', 'over'));
