-- Invitations into workspaces, by address: whoever reads the mail may accept.

CREATE TABLE user_invites (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace_id TEXT NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    email TEXT NOT NULL COLLATE NOCASE,
    name TEXT,
    -- Of the workspace's file, with a copy of its name.
    role_id INTEGER NOT NULL,
    role TEXT NOT NULL,
    -- The user of the workspace who invites, where it is one, with a copy of the name.
    inviter_id INTEGER,
    inviter TEXT NOT NULL,
    code_digest BLOB NOT NULL UNIQUE,
    status TEXT NOT NULL CHECK (status IN ('pending', 'accepted', 'declined', 'cancelled', 'expired')),
    expires_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX user_invites_open ON user_invites (workspace_id, email) WHERE status = 'pending';
CREATE INDEX user_invites_workspace ON user_invites (workspace_id);
CREATE INDEX user_invites_email ON user_invites (email) WHERE status = 'pending';
CREATE INDEX user_invites_expiry ON user_invites (expires_at) WHERE status = 'pending';
