-- migrate:up
ALTER TABLE models
    ADD validation  jsonb,  -- the data set that the training was evaluated on
    ADD start       jsonb;  -- the artifact whose adapter it went on with

-- migrate:down
ALTER TABLE models DROP validation, DROP start;
