-- migrate:up
CREATE INDEX jobs_status ON jobs (user_id, status, id DESC);
CREATE INDEX jobs_past ON jobs (id DESC) WHERE status = 'completed';

-- migrate:down
DROP INDEX jobs_past;
DROP INDEX jobs_status;
