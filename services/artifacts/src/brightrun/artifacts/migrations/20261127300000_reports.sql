-- migrate:up
CREATE TABLE model_reports (
    model_id  uuid   PRIMARY KEY REFERENCES models ON DELETE CASCADE,
    report    jsonb  NOT NULL
);

-- migrate:down
DROP TABLE model_reports;
