-- The outcome of backups of everything, for alerts. It has one row.
CREATE TABLE backup_status (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    -- The newest complete backup, and the place outside this machine that has it too.
    name TEXT,
    taken_at INTEGER,
    place TEXT,
    -- The first failure after it, and the reason of the last one.
    failing_since INTEGER,
    problem TEXT,
    -- Since when a backup is expected.
    expected_since INTEGER,
    -- The state that operators know.
    told TEXT NOT NULL DEFAULT 'good' CHECK (told IN ('good', 'failed', 'missing')),
    -- The message to the webhook of the operators, until it is delivered.
    message_id TEXT,
    message TEXT,
    message_tries INTEGER NOT NULL DEFAULT 0,
    message_due_at INTEGER
) STRICT;

INSERT INTO backup_status (id) VALUES (1);
