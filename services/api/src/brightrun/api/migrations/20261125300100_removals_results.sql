-- migrate:up
CREATE TABLE dataset_removals (
    dataset_id  uuid        PRIMARY KEY,
    user_id     uuid        NOT NULL,
    decided_at  timestamptz NOT NULL DEFAULT now(),
    done        boolean     NOT NULL DEFAULT false
);
CREATE INDEX dataset_removals_open ON dataset_removals (decided_at) WHERE NOT done;
COMMENT ON TABLE dataset_removals IS 'Data sets that no job may be submitted for any more; done once the artifacts service has deleted them.';

CREATE TABLE result_sizes (
    job_id  uuid   PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
    bytes   bigint NOT NULL
);
COMMENT ON TABLE result_sizes IS 'How long the results files of finished jobs are, once they were made.';

CREATE INDEX jobs_metadata ON jobs USING gin (metadata jsonb_path_ops);
CREATE INDEX jobs_completed ON jobs (user_id, (ending ->> 'finished_at')) WHERE status = 'completed';

-- migrate:down
DROP INDEX jobs_completed;
DROP INDEX jobs_metadata;
DROP TABLE result_sizes;
DROP TABLE dataset_removals;
