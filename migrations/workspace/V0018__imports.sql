-- Files that are imported in steps. The files themselves are in the data directory. After a day a row loses what it
-- says about the content of its file. The newest row of an owner keeps which column was which field.
CREATE TABLE imports (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner TEXT NOT NULL,
    resource TEXT NOT NULL,
    customer_id INTEGER,
    file TEXT NOT NULL,
    name TEXT,
    format TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    encoding TEXT,
    delimiter TEXT,
    records INTEGER NOT NULL,
    columns TEXT NOT NULL,
    sample TEXT NOT NULL,
    mode TEXT NOT NULL,
    key TEXT,
    state TEXT NOT NULL,
    process TEXT,
    created INTEGER,
    changed INTEGER,
    unchanged INTEGER,
    refused INTEGER,
    refused_records TEXT NOT NULL,
    refused_left_out INTEGER NOT NULL,
    problem TEXT,
    created_at INTEGER NOT NULL,
    ran_at INTEGER
) STRICT;
CREATE INDEX imports_by_owner ON imports (owner, resource);
CREATE INDEX imports_by_time ON imports (created_at);
