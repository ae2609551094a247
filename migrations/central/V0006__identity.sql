-- Identity: verified addresses, tokens that cannot be mistaken for others, second factors, and a log of what happens to accounts.

ALTER TABLE accounts ADD COLUMN email_verified INTEGER NOT NULL DEFAULT 0;
-- Takes effect once the code that was mailed to it comes back.
ALTER TABLE accounts ADD COLUMN pending_email TEXT COLLATE NOCASE;

-- The code that verifies an address of an account: one at a time.
CREATE TABLE email_codes (
    account_id INTEGER PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    digest BLOB NOT NULL UNIQUE,
    -- The address that it was mailed to.
    email TEXT NOT NULL COLLATE NOCASE,
    sent_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

-- Codes that were mailed to former addresses: each brings its address back.
CREATE TABLE email_undo_codes (
    digest BLOB PRIMARY KEY,
    account_id INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    email TEXT NOT NULL COLLATE NOCASE,
    email_verified INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX email_undo_codes_account ON email_undo_codes (account_id);
CREATE INDEX email_undo_codes_expiry ON email_undo_codes (expires_at);

-- 128 random bits that the token repeats: after a restore its id may belong to another token. Null for tokens of older versions.
ALTER TABLE tokens ADD COLUMN nonce BLOB;
-- The token that this one was switched from.
ALTER TABLE tokens ADD COLUMN parent_id INTEGER REFERENCES tokens (id) ON DELETE SET NULL;
ALTER TABLE tokens ADD COLUMN kind TEXT NOT NULL DEFAULT 'session' CHECK (kind IN ('session', 'program'));
-- Where it was issued to: the client's address and its user agent.
ALTER TABLE tokens ADD COLUMN address TEXT;
ALTER TABLE tokens ADD COLUMN user_agent TEXT;

UPDATE tokens SET kind = 'program' WHERE label NOT IN ('login', 'switch', 'browser');

CREATE INDEX tokens_parent ON tokens (parent_id) WHERE parent_id IS NOT NULL;

-- Networks that an account has logged in from.
CREATE TABLE known_networks (
    account_id INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    network TEXT NOT NULL,
    last_login_at INTEGER NOT NULL,
    PRIMARY KEY (account_id, network)
) STRICT, WITHOUT ROWID;

-- Time-based one-time passwords (RFC 6238).
CREATE TABLE second_factors (
    account_id INTEGER PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    -- Sealed with the server's keys.
    secret TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    -- Null until the first code of it came back.
    confirmed_at INTEGER,
    -- The newest time step of which a code was used; none is used twice (RFC 6238, 5.2).
    last_step INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE recovery_codes (
    account_id INTEGER NOT NULL REFERENCES second_factors (account_id) ON DELETE CASCADE,
    digest BLOB NOT NULL,
    PRIMARY KEY (account_id, digest)
) STRICT, WITHOUT ROWID;

-- Logins whose password was right and that wait for the second factor.
CREATE TABLE login_challenges (
    digest BLOB PRIMARY KEY,
    account_id INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    -- The workspace on whose host the login began; null on the central host.
    workspace_id TEXT,
    expires_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE INDEX login_challenges_expiry ON login_challenges (expires_at);

-- A new password ends the logins that began with the old one.
CREATE TRIGGER login_challenges_outdated AFTER UPDATE OF password_hash ON accounts BEGIN
    DELETE FROM login_challenges WHERE account_id = new.id;
END;

-- Workspaces in which the OAuth grants of an account are still to end: another password ends them.
CREATE TABLE grants_to_end (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id INTEGER NOT NULL,
    workspace_id TEXT NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE
) STRICT;

CREATE INDEX grants_to_end_workspace ON grants_to_end (workspace_id);

-- Servers remember with a token whether its account has a second factor.
CREATE TRIGGER second_factors_confirmed AFTER UPDATE OF confirmed_at ON second_factors BEGIN
    UPDATE revisions SET revision = revision + 1 WHERE name = 'tokens';
END;
CREATE TRIGGER second_factors_deleted AFTER DELETE ON second_factors BEGIN
    UPDATE revisions SET revision = revision + 1 WHERE name = 'tokens';
END;

-- What happened to accounts, tokens, workspaces and the instance. Accounts and workspaces are named as of that day, and may be
-- gone since.
CREATE TABLE audit_log (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    actor_type TEXT NOT NULL CHECK (actor_type IN ('account', 'anonymous', 'system')),
    actor_id INTEGER,
    actor_email TEXT,
    action TEXT NOT NULL,
    -- The account that it happened to.
    account_id INTEGER,
    account_email TEXT,
    workspace_id TEXT,
    address TEXT,
    user_agent TEXT,
    -- A JSON object.
    details TEXT NOT NULL
) STRICT;

CREATE INDEX audit_log_at ON audit_log (at);
CREATE INDEX audit_log_actor ON audit_log (actor_id);
CREATE INDEX audit_log_account ON audit_log (account_id);
