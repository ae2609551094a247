-- Mail that waits to be sent, and what somebody who forgot a password is mailed.

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

-- Those who say that they forgot their password, known here or not: the next round of mail finds out.
CREATE TABLE password_requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    email TEXT NOT NULL,
    -- The central URL as the caller knows it.
    url TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE password_codes (
    digest BLOB PRIMARY KEY,
    account_id INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX password_codes_account ON password_codes (account_id);
CREATE INDEX password_codes_expiry ON password_codes (expires_at);

-- A code opens the account that it was made for: with another password, or another address, it is that no more.
CREATE TRIGGER password_codes_outdated AFTER UPDATE OF email, password_hash ON accounts
WHEN old.email <> new.email OR old.password_hash <> new.password_hash BEGIN
    DELETE FROM password_codes WHERE account_id = new.id;
END;
