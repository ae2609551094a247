-- Who made a call flow's token: it is good for as long as they are. Null of one from before.
ALTER TABLE cfd_tokens ADD COLUMN maker_type TEXT CHECK (maker_type IN ('user', 'integration-key', 'oauth-grant'));
ALTER TABLE cfd_tokens ADD COLUMN maker_id INTEGER;
