-- Workspaces from which the user of a deleted account is still to be removed. The account is gone, so nothing refers to it.
CREATE TABLE departures (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id INTEGER NOT NULL,
    workspace_id TEXT NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE
) STRICT;

CREATE INDEX departures_workspace ON departures (workspace_id);
