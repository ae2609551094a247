-- Accounts that an operator has disabled: they get no tokens.
ALTER TABLE accounts ADD COLUMN disabled_at INTEGER;

-- A login that waits for its second factor ends too.
CREATE TRIGGER login_challenges_disabled AFTER UPDATE OF disabled_at ON accounts WHEN new.disabled_at IS NOT NULL BEGIN
    DELETE FROM login_challenges WHERE account_id = new.id;
END;

-- Accounts that a command has unlocked: a running server forgets their failed logins, and deletes the row.
CREATE TABLE unlocked_accounts (
    account_id INTEGER PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE
) STRICT;
