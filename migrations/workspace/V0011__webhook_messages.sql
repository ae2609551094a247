-- A message is kept once for each event, however many webhooks are told of it; and what is pending is counted.

CREATE TABLE webhook_messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The header webhook-id: by it a receiver knows what it has had.
    message_id TEXT NOT NULL,
    event TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;

INSERT INTO webhook_messages (id, message_id, event, body) SELECT id, message_id, event, body FROM webhook_deliveries;

CREATE TABLE webhook_deliveries_new (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook_id INTEGER NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    message INTEGER NOT NULL REFERENCES webhook_messages (id),
    status TEXT NOT NULL DEFAULT 'pending',
    -- Of those that failed, since it was last asked for.
    tries INTEGER NOT NULL DEFAULT 0,
    -- When the next try is due; null where there will be none.
    due_at INTEGER,
    last_tried_at INTEGER,
    response_status INTEGER,
    response_body TEXT,
    error TEXT,
    created_at INTEGER NOT NULL
) STRICT;

INSERT INTO webhook_deliveries_new
SELECT id, webhook_id, id, status, tries, due_at, last_tried_at, response_status, response_body, error, created_at
FROM webhook_deliveries;

DROP TABLE webhook_deliveries;
ALTER TABLE webhook_deliveries_new RENAME TO webhook_deliveries;

CREATE INDEX webhook_deliveries_webhook ON webhook_deliveries (webhook_id, id);
CREATE INDEX webhook_deliveries_message ON webhook_deliveries (message);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (id) WHERE due_at IS NOT NULL;
CREATE INDEX webhook_deliveries_created ON webhook_deliveries (created_at);

INSERT INTO row_counts (name, rows) SELECT 'pending_deliveries', count(*) FROM webhook_deliveries WHERE due_at IS NOT NULL;

CREATE TRIGGER webhook_deliveries_inserted AFTER INSERT ON webhook_deliveries WHEN new.due_at IS NOT NULL BEGIN
    UPDATE row_counts SET rows = rows + 1 WHERE name = 'pending_deliveries';
END;

CREATE TRIGGER webhook_deliveries_updated AFTER UPDATE OF due_at ON webhook_deliveries
WHEN (old.due_at IS NULL) <> (new.due_at IS NULL) BEGIN
    UPDATE row_counts SET rows = rows + iif(new.due_at IS NULL, -1, 1) WHERE name = 'pending_deliveries';
END;

CREATE TRIGGER webhook_deliveries_deleted AFTER DELETE ON webhook_deliveries BEGIN
    UPDATE row_counts SET rows = rows - (old.due_at IS NOT NULL) WHERE name = 'pending_deliveries';
    DELETE FROM webhook_messages
    WHERE id = old.message AND NOT EXISTS (SELECT 1 FROM webhook_deliveries WHERE message = old.message);
END;
