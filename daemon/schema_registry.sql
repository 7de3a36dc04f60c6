-- The registry: an index over jobs/*.db. The job files are authoritative.
CREATE TABLE job (
    id INTEGER PRIMARY KEY,
    request_id BLOB NOT NULL UNIQUE,
    spec BLOB NOT NULL,                 -- packed JobSpec
    state INTEGER NOT NULL,             -- JobState of skein.proto
    fingerprint BLOB,
    lines INTEGER NOT NULL,
    records INTEGER NOT NULL,
    rejected INTEGER NOT NULL,
    cost INTEGER NOT NULL,
    n_shards INTEGER NOT NULL,
    submitted_unix_ms INTEGER NOT NULL,
    started_unix_ms INTEGER NOT NULL,
    finished_unix_ms INTEGER NOT NULL,
    message TEXT NOT NULL,
    answered INTEGER NOT NULL,          -- counters as of the last update
    failed INTEGER NOT NULL,
    tokens_in INTEGER NOT NULL,
    tokens_out INTEGER NOT NULL,
    cost_done INTEGER NOT NULL,
    shards_done INTEGER NOT NULL,
    prefix INTEGER NOT NULL
) STRICT;

-- One row: how often a coordinator started on this spool.
CREATE TABLE server (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    epoch INTEGER NOT NULL
) STRICT;
INSERT INTO server VALUES (1, 0);
