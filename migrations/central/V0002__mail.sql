-- Mail that waits to be sent.

CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The left half of its Message-ID: one that is sent twice is known by it.
    message_id TEXT NOT NULL UNIQUE,
    recipient TEXT NOT NULL,
    subject TEXT NOT NULL,
    text TEXT NOT NULL,
    html TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    -- When it is tried next; null for a dead letter.
    due_at INTEGER,
    last_error TEXT,
    last_tried_at INTEGER
) STRICT;

CREATE INDEX outbox_due ON outbox (due_at);
