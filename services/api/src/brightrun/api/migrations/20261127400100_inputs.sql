-- migrate:up
ALTER TABLE jobs
    ADD validation     jsonb,  -- the data set to evaluate on, as dataset
    ADD start          jsonb,  -- the model whose adapter the training goes on with, as it was then
    ADD validation_id  uuid GENERATED ALWAYS AS ((spec ->> 'validation_dataset_id')::uuid) STORED,
    ADD start_id       uuid GENERATED ALWAYS AS ((spec ->> 'init_from')::uuid) STORED;
CREATE INDEX jobs_of_validation ON jobs (user_id, validation_id, id DESC) WHERE validation_id IS NOT NULL;
CREATE INDEX jobs_held_validation ON jobs (validation_id) WHERE hold IS NOT NULL;
CREATE INDEX jobs_of_start ON jobs (user_id, start_id, id DESC) WHERE start_id IS NOT NULL;

-- migrate:down
ALTER TABLE jobs DROP validation_id, DROP start_id, DROP validation, DROP start;
