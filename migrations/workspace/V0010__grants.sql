-- OAuth grants: what a person approved is what a token may do at the most, and a token is of its grant by more than an id.

-- How long an access token of the client is good, in seconds; the server's setting where it is null.
ALTER TABLE oauth_clients ADD COLUMN access_token_ttl INTEGER;

-- 128 random bits that the newest access token has too: ids are used again after a restore. Null of a grant from before.
ALTER TABLE oauth_grants ADD COLUMN nonce BLOB;

-- A grant is made by the approval, and a code is of a grant. Codes are good for a minute: none is carried over.
DROP TABLE oauth_codes;
CREATE TABLE oauth_codes (
    digest BLOB PRIMARY KEY,
    grant_id INTEGER NOT NULL REFERENCES oauth_grants (id) ON DELETE CASCADE,
    redirect_uri TEXT NOT NULL,
    -- PKCE (RFC 7636), where the client sent one.
    challenge TEXT,
    expires_at INTEGER NOT NULL,
    -- Whether it was exchanged: a second use ends the grant.
    used INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE INDEX oauth_codes_grant ON oauth_codes (grant_id);
CREATE INDEX oauth_codes_expiry ON oauth_codes (expires_at);

-- What somebody approved who could do less than was asked was no more than that.
UPDATE oauth_grants SET scopes = coalesce((
    SELECT group_concat(scope.value, ' ' ORDER BY scope.key)
    FROM json_each('["' || replace(oauth_grants.scopes, ' ', '","') || '"]') scope
    WHERE EXISTS (
        SELECT 1 FROM users u JOIN roles r ON r.id = u.role_id JOIN json_each(r.permissions) permission
        WHERE u.id = oauth_grants.user_id AND (
            permission.value = '*'
            OR permission.value = iif(scope.value IN ('client', 'crm'), 'crm.lookup', scope.value)
            OR (permission.value LIKE '%.*' AND substr(permission.value, 1, length(permission.value) - 1)
                = substr(iif(scope.value IN ('client', 'crm'), 'crm.lookup', scope.value), 1, length(permission.value) - 1)))
    )), '')
WHERE user_id IS NOT NULL;
