-- Quotas, and whose doing a mail is.

-- The account that caused the mail; null for one that the server sends of itself. It outlives the account.
ALTER TABLE outbox ADD COLUMN cause_id INTEGER;

-- Mails that accounts caused lately: what is counted for `mails_per_hour`.
CREATE TABLE caused_mails (
    id INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT;

CREATE INDEX caused_mails_account ON caused_mails (account_id, at);
CREATE INDEX caused_mails_at ON caused_mails (at);

-- When an invitation was last sent again.
ALTER TABLE user_invites ADD COLUMN resent_at INTEGER;
CREATE INDEX user_invites_created ON user_invites (workspace_id, created_at);
