-- migrate:up
CREATE TABLE discards (
    bucket    text        NOT NULL,
    prefix    text        NOT NULL,
    due_at    timestamptz NOT NULL DEFAULT now(),
    sweeping  boolean     NOT NULL DEFAULT false,
    PRIMARY KEY (bucket, prefix)
);
CREATE INDEX discards_due ON discards (due_at);
COMMENT ON TABLE discards IS 'Objects that no row names, any more or not yet; what begins with the prefix is removed once it is due.';
COMMENT ON COLUMN discards.sweeping IS 'Removal has begun: the objects cannot be named any more.';

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
CREATE INDEX uploads_to_expire ON uploads (expires_at) WHERE status = 'pending';
CREATE INDEX uploads_created_at ON uploads (created_at);
COMMENT ON COLUMN uploads.dataset_id IS 'The data set that the parts became.';
COMMENT ON COLUMN uploads.part_ids IS 'The parts that it was put together from, in their order.';

CREATE TABLE upload_parts (
    id          uuid        PRIMARY KEY,
    upload_id   uuid        NOT NULL REFERENCES uploads ON DELETE CASCADE,
    size        bigint      NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX upload_parts_of_upload ON upload_parts (upload_id);

CREATE INDEX datasets_by_age ON datasets (user_id, created_at, id);

-- migrate:down
DROP INDEX datasets_by_age;
DROP TABLE upload_parts;
DROP TABLE uploads;
DROP TABLE discards;
