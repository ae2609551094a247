-- The central file: accounts, workspaces, memberships, tokens. Times are seconds since 1970 in UTC.

CREATE TABLE accounts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    email TEXT NOT NULL COLLATE NOCASE UNIQUE,
    password_hash TEXT NOT NULL,
    operator INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE workspaces (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    subdomain TEXT NOT NULL,
    -- creating: its file is being made. trashed: its file is in the trash, its subdomain is free again.
    status TEXT NOT NULL CHECK (status IN ('creating', 'active', 'suspended', 'trashed')),
    owner_id INTEGER NOT NULL REFERENCES accounts (id),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    trashed_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX workspaces_subdomain ON workspaces (subdomain) WHERE status <> 'trashed';
CREATE INDEX workspaces_owner ON workspaces (owner_id);

CREATE TABLE memberships (
    account_id INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    workspace_id TEXT NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    -- A copy of the role's name in the workspace's file, for lists that must not open every file.
    role TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (account_id, workspace_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX memberships_workspace ON memberships (workspace_id);

CREATE TABLE tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    -- The scope: a workspace, or the central API where null.
    workspace_id TEXT REFERENCES workspaces (id) ON DELETE CASCADE,
    label TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;

CREATE INDEX tokens_account ON tokens (account_id);
CREATE INDEX tokens_workspace ON tokens (workspace_id);
CREATE INDEX tokens_expiry ON tokens (expires_at);

-- What a server keeps in memory, and how often it has changed: a server notices here what another process did.
CREATE TABLE revisions (
    name TEXT PRIMARY KEY,
    revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO revisions (name, revision) VALUES ('tokens', 0), ('workspaces', 0), ('keys', 0);

CREATE TRIGGER tokens_revoked AFTER UPDATE OF revoked_at ON tokens BEGIN
    UPDATE revisions SET revision = revision + 1 WHERE name = 'tokens';
END;
CREATE TRIGGER tokens_deleted AFTER DELETE ON tokens BEGIN
    UPDATE revisions SET revision = revision + 1 WHERE name = 'tokens';
END;
CREATE TRIGGER workspaces_changed AFTER UPDATE OF subdomain, status ON workspaces BEGIN
    UPDATE revisions SET revision = revision + 1 WHERE name = 'workspaces';
END;
CREATE TRIGGER workspaces_deleted AFTER DELETE ON workspaces BEGIN
    UPDATE revisions SET revision = revision + 1 WHERE name = 'workspaces';
END;
CREATE TRIGGER accounts_changed AFTER UPDATE OF operator ON accounts BEGIN
    UPDATE revisions SET revision = revision + 1 WHERE name = 'tokens';
END;
