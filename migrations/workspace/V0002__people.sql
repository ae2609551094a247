-- People and programs: a user's name of its own, users found by words, integration keys.

-- The name as it was last copied from the account: a name that the workspace gave stays until the account has a new one.
ALTER TABLE users ADD COLUMN account_name TEXT NOT NULL DEFAULT '';
UPDATE users SET account_name = name;
CREATE INDEX users_role ON users (role_id);

CREATE VIRTUAL TABLE users_fts USING fts5 (
    name, email, content = 'users', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2', columnsize = 0
);
INSERT INTO users_fts (users_fts) VALUES ('rebuild');

CREATE TRIGGER users_inserted AFTER INSERT ON users BEGIN
    INSERT INTO users_fts (rowid, name, email) VALUES (new.id, new.name, new.email);
END;

CREATE TRIGGER users_deleted AFTER DELETE ON users BEGIN
    DELETE FROM phone_numbers WHERE resource = 'users' AND resource_id = old.id;
    INSERT INTO users_fts (users_fts, rowid, name, email) VALUES ('delete', old.id, old.name, old.email);
END;

CREATE TRIGGER users_updated AFTER UPDATE ON users WHEN (new.name, new.email) IS NOT (old.name, old.email) BEGIN
    INSERT INTO users_fts (users_fts, rowid, name, email) VALUES ('delete', old.id, old.name, old.email);
    INSERT INTO users_fts (rowid, name, email) VALUES (new.id, new.name, new.email);
END;

-- Who manages sees what agents see, and so may invite them: nobody gives away what they do not have.
UPDATE roles SET permissions = json_insert(permissions, '$[#]', 'oauth-client.view') WHERE name = 'manager' AND built_in;

CREATE TABLE integration_keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    -- A JSON list of permissions, as of roles.
    permissions TEXT NOT NULL,
    -- The only customer that the key sees. With it goes the key: one that sees nothing must not come to see all.
    customer_id INTEGER REFERENCES customers (id) ON DELETE CASCADE,
    active INTEGER NOT NULL DEFAULT 1,
    expires_at INTEGER,
    -- What people tell keys apart by: how the newest secret begins and ends.
    prefix TEXT NOT NULL,
    last_four TEXT NOT NULL,
    last_used_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX integration_keys_customer ON integration_keys (customer_id);

-- The secrets of a key: the newest, and those before it until their end.
CREATE TABLE integration_key_secrets (
    digest BLOB PRIMARY KEY,
    key_id INTEGER NOT NULL REFERENCES integration_keys (id) ON DELETE CASCADE,
    expires_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX integration_key_secrets_key ON integration_key_secrets (key_id);
