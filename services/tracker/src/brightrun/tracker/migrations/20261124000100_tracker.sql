-- migrate:up
CREATE TABLE jobs (
    job_id   uuid     PRIMARY KEY,
    user_id  uuid     NOT NULL,
    deleted  boolean  NOT NULL DEFAULT false
);
COMMENT ON TABLE jobs IS 'Whose a job is, known from the first event of any topic that named it.';
COMMENT ON COLUMN jobs.deleted IS 'What comes of the job from now on is not kept, but for what it cost.';

CREATE TABLE metric_chunks (
    job_id                     uuid     NOT NULL,
    attempt                    integer  NOT NULL,
    seq                        integer  NOT NULL,
    first_step                 bigint   NOT NULL,
    last_step                  bigint   NOT NULL,
    step                       bytea    STORAGE EXTERNAL NOT NULL,
    epoch                      bytea    STORAGE EXTERNAL NOT NULL,
    training_loss              bytea    STORAGE EXTERNAL,
    validation_loss            bytea    STORAGE EXTERNAL,
    learning_rate              bytea    STORAGE EXTERNAL,
    gradient_norm              bytea    STORAGE EXTERNAL,
    token_accuracy             bytea    STORAGE EXTERNAL,
    tokens_per_second          bytea    STORAGE EXTERNAL,
    memory_mb                  bytea    STORAGE EXTERNAL,
    gpu_utilization            bytea    STORAGE EXTERNAL,
    validation_token_accuracy  bytea    STORAGE EXTERNAL,
    measured_at                bytea    STORAGE EXTERNAL NOT NULL,
    PRIMARY KEY (job_id, attempt, seq)
) WITH (toast_tuple_target = 8160);
COMMENT ON TABLE metric_chunks IS
    'The points of one progress event: of each quantity a packed array of little-endian float64. NaN or NULL: not measured.';
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

CREATE TABLE checkpoints (
    job_id    uuid         NOT NULL,
    attempt   integer      NOT NULL,
    step      bigint       NOT NULL,
    seq       integer      NOT NULL,
    saved_at  timestamptz  NOT NULL,
    PRIMARY KEY (job_id, attempt, step)
);
COMMENT ON COLUMN checkpoints.seq IS 'Of the progress that told of it: what was measured before has a lower one, or the same.';

CREATE TABLE job_events (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id       uuid         NOT NULL,
    source       text         NOT NULL,
    type         text         NOT NULL,
    level        text         NOT NULL CHECK (level IN ('info', 'warn', 'error')),
    message      text         NOT NULL,
    data         jsonb        NOT NULL,
    occurred_at  timestamptz  NOT NULL,
    UNIQUE (job_id, source)
);
COMMENT ON COLUMN job_events.source IS 'What the entry tells of, such as stage:1:training; a job has one entry of each.';
CREATE INDEX job_events_page ON job_events (job_id, id);

CREATE TABLE held_entries (
    id           bigint GENERATED ALWAYS AS IDENTITY,
    job_id       uuid         NOT NULL,
    source       text         NOT NULL,
    type         text         NOT NULL,
    level        text         NOT NULL,
    message      text         NOT NULL,
    data         jsonb        NOT NULL,
    occurred_at  timestamptz  NOT NULL,
    follows      text         NOT NULL,
    PRIMARY KEY (job_id, source)
);
COMMENT ON TABLE held_entries IS
    'Entries that came before the one that they follow: topics are not ordered between each other.';
CREATE INDEX held_entries_following ON held_entries (job_id, follows);

CREATE TABLE cost_records (
    id           uuid           PRIMARY KEY,
    job_id       uuid           NOT NULL,
    user_id      uuid           NOT NULL,
    attempt      integer        NOT NULL,
    cost_type    text           NOT NULL CHECK (cost_type IN ('compute', 'storage')),
    amount       numeric(14,4)  NOT NULL CHECK (amount >= 0),
    recorded_at  timestamptz    NOT NULL,
    details      jsonb          NOT NULL,
    UNIQUE (job_id, cost_type, attempt)
);
COMMENT ON COLUMN cost_records.attempt IS '0: of the job as a whole.';
CREATE INDEX cost_records_period ON cost_records (user_id, recorded_at);

CREATE FUNCTION refuse_ledger_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only: record an adjustment instead of a %', lower(TG_OP)
        USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON cost_records
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_ledger_change();

-- migrate:down
DROP TABLE cost_records, held_entries, job_events, checkpoints, summaries_due, metric_summaries, metric_chunks, jobs;
DROP FUNCTION refuse_ledger_change;
