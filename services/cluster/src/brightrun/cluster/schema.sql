-- Runs and events are JSON documents; the other columns are what they are searched by.

CREATE TABLE IF NOT EXISTS runs (
    id      TEXT PRIMARY KEY,
    job_id  TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    live    INTEGER NOT NULL,
    run     TEXT NOT NULL, -- models.Run
    UNIQUE (job_id, attempt)
) STRICT;
CREATE INDEX IF NOT EXISTS live_runs ON runs (id) WHERE live;

-- The history of all runs, as the scheduler reads it.
CREATE TABLE IF NOT EXISTS events (
    cursor INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id TEXT NOT NULL REFERENCES runs (id),
    seq    INTEGER NOT NULL,
    event  TEXT NOT NULL, -- contracts.cluster_api.RunEvent
    UNIQUE (run_id, seq)
) STRICT;

-- Every GPU that a run has or had. A submission looks at as many rows as it gets GPUs, however many there are.
CREATE TABLE IF NOT EXISTS devices (
    gpu_type TEXT NOT NULL,
    device   INTEGER NOT NULL,
    run_id   TEXT REFERENCES runs (id), -- null: free
    PRIMARY KEY (gpu_type, device)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS free_devices ON devices (gpu_type, device) WHERE run_id IS NULL;
CREATE INDEX IF NOT EXISTS devices_of_run ON devices (run_id);

-- How many devices are leased, and to how many live runs.
CREATE TABLE IF NOT EXISTS usage (
    gpu_type  TEXT PRIMARY KEY,
    leased    INTEGER NOT NULL,
    live_runs INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Files of runs that were downloaded, and when last (Unix seconds).
CREATE TABLE IF NOT EXISTS fetches (
    run_id TEXT NOT NULL REFERENCES runs (id),
    name   TEXT NOT NULL,
    at     REAL NOT NULL,
    PRIMARY KEY (run_id, name)
) STRICT, WITHOUT ROWID;

-- Runs whose folder was deleted.
CREATE TABLE IF NOT EXISTS removals (
    run_id TEXT PRIMARY KEY REFERENCES runs (id),
    at     REAL NOT NULL
) STRICT, WITHOUT ROWID;
