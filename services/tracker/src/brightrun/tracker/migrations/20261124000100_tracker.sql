-- migrate:up
CREATE TABLE jobs (
    job_id   uuid PRIMARY KEY,
    user_id  uuid NOT NULL
);
COMMENT ON TABLE jobs IS 'Whose a job is, known from the first event of any topic that named it.';

CREATE TABLE metric_chunks (
    job_id             uuid     NOT NULL,
    attempt            integer  NOT NULL,
    seq                integer  NOT NULL,
    first_step         bigint   NOT NULL,
    last_step          bigint   NOT NULL,
    step               bytea    NOT NULL,
    epoch              bytea    NOT NULL,
    training_loss      bytea,
    validation_loss    bytea,
    learning_rate      bytea,
    gradient_norm      bytea,
    token_accuracy     bytea,
    tokens_per_second  bytea,
    memory_mb          bytea,
    gpu_utilization    bytea,
    PRIMARY KEY (job_id, attempt, seq)
);
COMMENT ON TABLE metric_chunks IS
    'The points of one progress event: of each quantity a packed array of little-endian float64. NaN or NULL: not measured.';
ALTER TABLE metric_chunks
    ALTER step SET STORAGE EXTERNAL,
    ALTER epoch SET STORAGE EXTERNAL,
    ALTER training_loss SET STORAGE EXTERNAL,
    ALTER validation_loss SET STORAGE EXTERNAL,
    ALTER learning_rate SET STORAGE EXTERNAL,
    ALTER gradient_norm SET STORAGE EXTERNAL,
    ALTER token_accuracy SET STORAGE EXTERNAL,
    ALTER tokens_per_second SET STORAGE EXTERNAL,
    ALTER memory_mb SET STORAGE EXTERNAL,
    ALTER gpu_utilization SET STORAGE EXTERNAL,
    SET (toast_tuple_target = 8160);

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
DROP TABLE cost_records, job_events, metric_chunks, jobs;
DROP FUNCTION refuse_ledger_change;
