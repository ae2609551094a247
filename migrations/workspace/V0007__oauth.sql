-- OAuth 2.0: the programs that may ask for tokens, and what each was granted by whom.

CREATE TABLE oauth_clients (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    client_id TEXT NOT NULL UNIQUE,
    -- Null of a public client, which could not keep a secret.
    secret_digest BLOB,
    -- JSON lists; scopes are a text with spaces between.
    redirect_uris TEXT NOT NULL,
    grants TEXT NOT NULL,
    scopes TEXT NOT NULL,
    -- The only customer that its tokens see. With it goes the client, as a key does.
    customer_id INTEGER REFERENCES customers (id) ON DELETE CASCADE,
    confidential INTEGER NOT NULL,
    active INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    secret_last_four TEXT
) STRICT;

CREATE INDEX oauth_clients_customer ON oauth_clients (customer_id);

-- What a client was granted: the family of all tokens that come of one approval. An access token names its grant and the
-- serial number of its time: one that is not the newest is dead.
CREATE TABLE oauth_grants (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    client_id INTEGER NOT NULL REFERENCES oauth_clients (id) ON DELETE CASCADE,
    -- Who approved; null where the client asked for itself.
    user_id INTEGER REFERENCES users (id) ON DELETE CASCADE,
    scopes TEXT NOT NULL,
    -- Of the newest access token: the same, or fewer.
    access_scopes TEXT NOT NULL,
    serial INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    -- When the newest of its tokens ends.
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;

CREATE INDEX oauth_grants_client ON oauth_grants (client_id, user_id);
CREATE INDEX oauth_grants_user ON oauth_grants (user_id);
CREATE INDEX oauth_grants_expiry ON oauth_grants (expires_at);

CREATE TABLE oauth_codes (
    digest BLOB PRIMARY KEY,
    client_id INTEGER NOT NULL REFERENCES oauth_clients (id) ON DELETE CASCADE,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    redirect_uri TEXT NOT NULL,
    scopes TEXT NOT NULL,
    -- PKCE (RFC 7636), where the client sent one.
    challenge TEXT,
    expires_at INTEGER NOT NULL,
    -- Set when it was used: a second use revokes what the first gave.
    grant_id INTEGER REFERENCES oauth_grants (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX oauth_codes_client ON oauth_codes (client_id);
CREATE INDEX oauth_codes_user ON oauth_codes (user_id);
CREATE INDEX oauth_codes_grant ON oauth_codes (grant_id);
CREATE INDEX oauth_codes_expiry ON oauth_codes (expires_at);

-- Every one of a grant, also those that were used: who uses one again has stolen it, or was stolen from.
CREATE TABLE oauth_refresh_tokens (
    digest BLOB PRIMARY KEY,
    grant_id INTEGER NOT NULL REFERENCES oauth_grants (id) ON DELETE CASCADE,
    serial INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX oauth_refresh_tokens_grant ON oauth_refresh_tokens (grant_id);
