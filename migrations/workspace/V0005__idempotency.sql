-- Answers to requests with an Idempotency-Key, for those who send the same again.

CREATE TABLE idempotency_keys (
    -- A digest of who sent which key where.
    digest BLOB PRIMARY KEY,
    -- Sealed with the server's key: an answer may hold a secret that is shown once.
    answer TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at);
