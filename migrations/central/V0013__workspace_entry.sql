-- Codes that lead a browser from a session on the central host into a workspace. Each works once, for a minute.
CREATE TABLE entry_codes (
    digest BLOB PRIMARY KEY,
    -- The session on the central host. The session in the workspace ends with it.
    token_id INTEGER NOT NULL REFERENCES tokens (id) ON DELETE CASCADE,
    workspace_id TEXT NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    -- A digest of the cookie that the browser has on the workspace's host.
    visit TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX entry_codes_token ON entry_codes (token_id);
CREATE INDEX entry_codes_workspace ON entry_codes (workspace_id);
CREATE INDEX entry_codes_expiry ON entry_codes (expires_at);
