-- The instance itself: one row.
CREATE TABLE instance (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    -- A random UUID (version 4). Backups name it. A copy or a restored backup keeps it.
    id TEXT NOT NULL,
    -- 1 for a demo, whose account has a published password.
    is_demo INTEGER NOT NULL DEFAULT 0
) STRICT;

INSERT INTO instance (only_row, id)
SELECT 1, substr(digits, 1, 8) || '-' || substr(digits, 9, 4) || '-4' || substr(digits, 14, 3) || '-'
    || substr('89ab', 1 + (random() & 3), 1) || substr(digits, 18, 3) || '-' || substr(digits, 21, 12)
FROM (SELECT lower(hex(randomblob(16))) AS digits);
