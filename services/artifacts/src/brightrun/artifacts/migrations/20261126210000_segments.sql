-- migrate:up
ALTER TABLE models
    ADD trained_seconds  float8,  -- without pauses
    ADD stopped_by       text;    -- the limit that ended the training early: budget, duration
UPDATE models SET trained_seconds = extract(epoch FROM finished_at - started_at);
ALTER TABLE models ALTER trained_seconds SET NOT NULL;

-- migrate:down
ALTER TABLE models DROP trained_seconds, DROP stopped_by;
