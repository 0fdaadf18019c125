-- migrate:up

-- Rows with `fence` and `leased_until` are worked on under a lease: who holds it raises the fence, and a write that names
-- an older one changes nothing.

CREATE TABLE uploads (
    id            uuid        PRIMARY KEY,
    user_id       uuid        NOT NULL,
    filename      text        NOT NULL,
    size          bigint      NOT NULL CHECK (size > 0),
    status        text        NOT NULL DEFAULT 'pending'
                  CHECK (status IN ('pending', 'completed', 'cancelled', 'expired')),
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz NOT NULL,
    dataset_id    uuid,
    part_ids      uuid[],
    fence         integer     NOT NULL DEFAULT 0,
    leased_until  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN uploads.dataset_id IS 'The data set that the parts became.';
COMMENT ON COLUMN uploads.part_ids IS 'The parts that it was put together from, in their order.';
CREATE INDEX uploads_to_expire ON uploads (expires_at) WHERE status = 'pending';
CREATE INDEX uploads_created_at ON uploads (created_at);

CREATE TABLE upload_parts (
    id          uuid        PRIMARY KEY,
    upload_id   uuid        NOT NULL REFERENCES uploads ON DELETE CASCADE,
    size        bigint      NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX upload_parts_of_upload ON upload_parts (upload_id);

CREATE TABLE datasets (
    id              uuid        PRIMARY KEY,
    user_id         uuid        NOT NULL,
    name            text        NOT NULL,
    format          text        NOT NULL,
    requested_format text,                                      -- named by the user; null: detected
    columns         jsonb       NOT NULL DEFAULT '{}',          -- keys of the format, and their names in the file
    drop_invalid    boolean     NOT NULL DEFAULT false,         -- examples with errors are left out
    status          text        NOT NULL DEFAULT 'uploaded'
                    CHECK (status IN ('uploaded', 'validating', 'ready', 'invalid')),
    size            bigint      NOT NULL,
    sha256          text        NOT NULL,
    training_pairs  bigint      NOT NULL DEFAULT 0,
    tokens          bigint      NOT NULL DEFAULT 0,
    duplicates      bigint      NOT NULL DEFAULT 0,
    error_count     bigint      NOT NULL DEFAULT 0,
    errors_by_code  jsonb       NOT NULL DEFAULT '{}',
    warnings_by_code jsonb      NOT NULL DEFAULT '{}',
    statistics      jsonb       NOT NULL DEFAULT '{}',
    validated_bytes bigint      NOT NULL DEFAULT 0,
    examples_key    text,                                       -- the file that trainers read, if it is not the upload
    training_sha256 text,                                       -- of the file that trainers read, when ready
    created_at      timestamptz NOT NULL DEFAULT now(),
    validated_at    timestamptz,
    fence           integer     NOT NULL DEFAULT 0,
    leased_until    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX datasets_of_user ON datasets (user_id, created_at DESC);
CREATE INDEX datasets_by_age ON datasets (user_id, created_at, id);
CREATE INDEX datasets_to_validate ON datasets (leased_until) WHERE status IN ('uploaded', 'validating');

-- The first errors and warnings of a data set, with their places; `errors_by_code` and `warnings_by_code` count all.
CREATE TABLE dataset_issues (
    dataset_id  uuid    NOT NULL REFERENCES datasets ON DELETE CASCADE,
    position    integer NOT NULL,
    line        bigint  NOT NULL,
    path        text    NOT NULL,
    code        text    NOT NULL,
    message     text    NOT NULL,
    severity    text    NOT NULL CHECK (severity IN ('error', 'warning')),
    PRIMARY KEY (dataset_id, position)
);

CREATE TABLE models (
    id               uuid          PRIMARY KEY,
    job_id           uuid          NOT NULL,
    user_id          uuid          NOT NULL,
    name             text          NOT NULL,
    version          text          NOT NULL DEFAULT '1.0.0',
    status           text          NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'stored', 'failed', 'damaged')),
    cluster          text          NOT NULL,
    external_job_id  text          NOT NULL,
    spec             jsonb         NOT NULL,
    gpu              jsonb         NOT NULL,
    dataset          jsonb         NOT NULL,
    pricing          jsonb         NOT NULL,
    trained_tokens   bigint        NOT NULL,
    started_at       timestamptz   NOT NULL,
    finished_at      timestamptz   NOT NULL,
    cost             numeric(14,4) NOT NULL,
    curve            jsonb,                                 -- the job's summary in `curves`, as it was when it was judged
    quality          jsonb,
    created_at       timestamptz   NOT NULL DEFAULT now(),
    tries            integer       NOT NULL DEFAULT 0,      -- of moving its files from the cluster into the store
    problem          text,                                  -- why the last try failed, or what is wrong with its files
    verified_at      timestamptz   NOT NULL DEFAULT now(),  -- its files were compared with their digests
    fence            integer       NOT NULL DEFAULT 0,
    leased_until     timestamptz   NOT NULL DEFAULT now(),
    trained_seconds  float8        NOT NULL,                -- without pauses
    stopped_by       text,                                  -- the limit that ended the training early: budget, duration
    validation       jsonb,                                 -- the data set that the training was evaluated on
    start            jsonb,                                 -- the artifact whose adapter it went on with
    attempt          integer,                               -- of a checkpoint that was copied here
    step             bigint,                                -- of a checkpoint; NULL for the model of a completed job
    CHECK ((attempt IS NULL) = (step IS NULL))
);
CREATE UNIQUE INDEX models_of_job ON models (job_id) WHERE step IS NULL;
CREATE INDEX models_of_user ON models (user_id, created_at DESC);
CREATE INDEX models_to_transfer ON models (cluster, leased_until) WHERE status = 'pending';
CREATE INDEX models_to_verify ON models (verified_at) WHERE status IN ('stored', 'damaged');

CREATE TABLE model_files (
    model_id  uuid   NOT NULL REFERENCES models ON DELETE CASCADE,
    name      text   NOT NULL,
    size      bigint NOT NULL,
    sha256    text   NOT NULL,
    PRIMARY KEY (model_id, name)
);

-- What the cluster reported of a model beside its figures.
CREATE TABLE model_reports (
    model_id  uuid   PRIMARY KEY REFERENCES models ON DELETE CASCADE,
    report    jsonb  NOT NULL
);

-- The loss curve of each job in a few numbers, up to the progress event `(attempt, seq)`.
CREATE TABLE curves (
    job_id   uuid    PRIMARY KEY,
    attempt  integer NOT NULL,
    seq      integer NOT NULL,
    summary  jsonb   NOT NULL
);

CREATE TABLE discards (
    bucket    text        NOT NULL,
    prefix    text        NOT NULL,
    due_at    timestamptz NOT NULL DEFAULT now(),
    sweeping  boolean     NOT NULL DEFAULT false,
    PRIMARY KEY (bucket, prefix)
);
COMMENT ON TABLE discards IS 'Objects that no row names, any more or not yet; what begins with the prefix is removed once it is due.';
COMMENT ON COLUMN discards.sweeping IS 'Removal has begun: the objects cannot be named any more.';
CREATE INDEX discards_due ON discards (due_at);

-- migrate:down
DROP TABLE discards, curves, model_reports, model_files, models, dataset_issues, datasets, upload_parts, uploads;
