-- migrate:up
ALTER TABLE jobs ADD deleted boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN jobs.deleted IS 'What comes of the job from now on is not kept, but for what it cost.';

ALTER TABLE metric_chunks ADD validation_token_accuracy bytea;
ALTER TABLE metric_chunks ALTER validation_token_accuracy SET STORAGE EXTERNAL;
CREATE INDEX metric_chunks_validated ON metric_chunks (job_id, attempt, seq) WHERE validation_loss IS NOT NULL;

CREATE TABLE metric_summaries (
    LIKE metric_chunks INCLUDING STORAGE,
    last_seq  integer NOT NULL,
    PRIMARY KEY (job_id, attempt, last_seq)
) WITH (toast_tuple_target = 8160);
COMMENT ON TABLE metric_summaries IS
    'The points of the chunks from seq to last_seq that keep the shape of their part of the curve. Made from chunks at any time.';

CREATE TABLE summaries_due (
    job_id   uuid     NOT NULL,
    attempt  integer  NOT NULL,
    PRIMARY KEY (job_id, attempt)
);
COMMENT ON TABLE summaries_due IS 'Curves that may have chunks without a summary.';
INSERT INTO summaries_due SELECT DISTINCT job_id, attempt FROM metric_chunks;

CREATE TABLE checkpoints (
    job_id    uuid         NOT NULL,
    attempt   integer      NOT NULL,
    step      bigint       NOT NULL,
    seq       integer      NOT NULL,
    saved_at  timestamptz  NOT NULL,
    PRIMARY KEY (job_id, attempt, step)
);
COMMENT ON COLUMN checkpoints.seq IS 'Of the progress that told of it: what was measured before has a lower one, or the same.';

-- migrate:down
DROP TABLE checkpoints, summaries_due, metric_summaries;
DROP INDEX metric_chunks_validated;
ALTER TABLE metric_chunks DROP validation_token_accuracy;
ALTER TABLE jobs DROP deleted;
