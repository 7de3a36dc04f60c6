-- One job: its row, its shards, their blobs.
CREATE TABLE job (
    id INTEGER PRIMARY KEY,
    request_id BLOB NOT NULL,
    spec BLOB NOT NULL,                 -- packed JobSpec
    state INTEGER NOT NULL,             -- JobState of skein.proto
    fingerprint BLOB,                   -- of the models that may compute it
    lines INTEGER NOT NULL,
    records INTEGER NOT NULL,
    rejected INTEGER NOT NULL,
    cost INTEGER NOT NULL,
    n_shards INTEGER NOT NULL,
    submitted_unix_ms INTEGER NOT NULL,
    started_unix_ms INTEGER NOT NULL,
    finished_unix_ms INTEGER NOT NULL,
    message TEXT NOT NULL
) STRICT;

-- Small rows, so that a lease does not rewrite a blob.
CREATE TABLE shard (
    shard INTEGER PRIMARY KEY,          -- 0-based
    first_line INTEGER NOT NULL,
    n_lines INTEGER NOT NULL,
    n_records INTEGER NOT NULL,
    n_rejected INTEGER NOT NULL,
    cost INTEGER NOT NULL,
    state INTEGER NOT NULL,             -- enum shard_state of daemon/job.h
    attempt INTEGER NOT NULL DEFAULT 0,
    nonce INTEGER NOT NULL DEFAULT 0,   -- unsigned, stored as its bits
    epoch INTEGER NOT NULL DEFAULT 0,
    worker TEXT,                        -- name, for people
    owner INTEGER NOT NULL DEFAULT 0,   -- first 8 bytes of its incarnation
    crash_count INTEGER NOT NULL DEFAULT 0,
    n_errors INTEGER NOT NULL DEFAULT 0,
    tokens_in INTEGER NOT NULL DEFAULT 0,
    tokens_out INTEGER NOT NULL DEFAULT 0
) STRICT;

-- SQLite's own checks miss most flipped bits, so every blob has a hash that is
-- compared whenever it is read. The hashes come first: they are read without
-- following the blob's overflow pages.
CREATE TABLE blob (
    id INTEGER PRIMARY KEY,             -- shard * 4 + BlobKind
    size INTEGER NOT NULL,
    xxh3 INTEGER NOT NULL,
    blake2b BLOB NOT NULL,
    data BLOB NOT NULL                  -- a packed lineset
) STRICT;
