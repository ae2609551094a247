-- Single sign-on: the accounts at OpenID providers by which people sign in, and how each token's session began.

CREATE TABLE linked_identities (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    -- Together, these name a person for ever (OpenID Connect Core 1.0, 5.7).
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    -- The provider's name and the address, as they were at the last sign-in.
    provider TEXT NOT NULL,
    email TEXT,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER,
    UNIQUE (issuer, subject)
) STRICT;

CREATE INDEX linked_identities_account ON linked_identities (account_id);

-- The provider of a workspace. An operator names the domains, the owner the rest.
CREATE TABLE workspace_providers (
    workspace_id TEXT PRIMARY KEY REFERENCES workspaces (id) ON DELETE CASCADE,
    -- A JSON array. Empty: no provider is allowed.
    domains TEXT NOT NULL,
    name TEXT,
    issuer TEXT,
    client_id TEXT,
    -- Sealed with the server's keys.
    client_secret TEXT
) STRICT, WITHOUT ROWID;

-- The provider's name in the settings, or the id of the workspace that it belongs to. Null: a password, or a command.
ALTER TABLE tokens ADD COLUMN provider TEXT;
-- Whether the provider checked a second factor.
ALTER TABLE tokens ADD COLUMN provider_second_factor INTEGER NOT NULL DEFAULT 0;
ALTER TABLE login_challenges ADD COLUMN provider TEXT;
