-- migrate:up
ALTER TABLE jobs DROP CONSTRAINT jobs_status_check;
ALTER TABLE jobs
    ADD CONSTRAINT jobs_status_check CHECK
        (status IN ('queued', 'initializing', 'running', 'paused', 'completed', 'failed', 'cancelled')),
    ADD segments            jsonb  NOT NULL DEFAULT '[]',  -- what is billed of attempts that ended in a pause
    ADD unpausable_attempt  int    NOT NULL DEFAULT 0,     -- the newest whose cluster cannot save and resume it
    ADD pause_turn          int    NOT NULL DEFAULT 0,     -- requests to pause and to resume; odd: to pause
    ADD pause_requested_at  timestamptz;

-- migrate:down
ALTER TABLE jobs DROP segments, DROP unpausable_attempt, DROP pause_turn, DROP pause_requested_at;
UPDATE jobs SET status = 'queued' WHERE status = 'paused';
ALTER TABLE jobs DROP CONSTRAINT jobs_status_check;
ALTER TABLE jobs ADD CONSTRAINT jobs_status_check CHECK
    (status IN ('queued', 'initializing', 'running', 'completed', 'failed', 'cancelled'));
