-- migrate:up
ALTER TABLE jobs
    ADD COLUMN planned_seconds  bigint,
    ADD COLUMN hold             jsonb,
    ADD COLUMN face             text        NOT NULL DEFAULT 'api' CHECK (face IN ('api', 'openai')),
    ADD COLUMN suffix           text,
    ADD COLUMN metadata         jsonb       NOT NULL DEFAULT '{}',
    ADD COLUMN retry_of         uuid,
    ADD COLUMN cloned_from      uuid,
    ADD COLUMN order_sha256     bytea,
    ADD COLUMN sent_again       boolean     NOT NULL DEFAULT false,
    ADD COLUMN dataset_id       uuid        GENERATED ALWAYS AS ((dataset ->> 'dataset_id')::uuid) STORED;
CREATE INDEX jobs_of_dataset ON jobs (user_id, dataset_id, id DESC);
CREATE INDEX jobs_held ON jobs (dataset_id) WHERE hold IS NOT NULL;
CREATE INDEX jobs_order ON jobs (user_id, order_sha256, id DESC) WHERE order_sha256 IS NOT NULL;
COMMENT ON COLUMN jobs.planned_seconds IS 'How long the estimate says; unknown for the oldest jobs.';
COMMENT ON COLUMN jobs.hold IS 'Set while the data set is being checked and nothing was published: what the quote will be made with.';
COMMENT ON COLUMN jobs.face IS 'Through which face the job was submitted.';
COMMENT ON COLUMN jobs.retry_of IS 'The job that this one is to make good; it may have been deleted.';
COMMENT ON COLUMN jobs.cloned_from IS 'The job that this one was made from; it may have been deleted.';
COMMENT ON COLUMN jobs.order_sha256 IS 'Digest of the request, where its client repeats requests without a key (the OpenAI face).';
COMMENT ON COLUMN jobs.sent_again IS 'Whether the request said that it was a repetition.';

CREATE TABLE idempotency_keys (
    user_id       uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    key           text        NOT NULL,
    order_sha256  bytea       NOT NULL,
    job_id        uuid        NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, key)
);
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);
COMMENT ON TABLE idempotency_keys IS 'Which job an Idempotency-Key has made, for 24 hours. The job may have been deleted.';

-- migrate:down
DROP TABLE idempotency_keys;
ALTER TABLE jobs
    DROP COLUMN dataset_id,
    DROP COLUMN sent_again,
    DROP COLUMN order_sha256,
    DROP COLUMN cloned_from,
    DROP COLUMN retry_of,
    DROP COLUMN metadata,
    DROP COLUMN suffix,
    DROP COLUMN face,
    DROP COLUMN hold,
    DROP COLUMN planned_seconds;
