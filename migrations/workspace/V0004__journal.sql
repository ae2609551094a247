-- The journal: who changed what, and who is told of it.

-- Written in the transaction that makes the change. Names are copies: the row outlives whom it names.
CREATE TABLE audit_log (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    actor_type TEXT NOT NULL,
    actor_id INTEGER,
    actor_name TEXT NOT NULL,
    action TEXT NOT NULL,
    resource TEXT NOT NULL,
    resource_id INTEGER,
    address TEXT,
    -- A JSON object: {"field": [before, after]}
    changes TEXT NOT NULL
) STRICT;

CREATE INDEX audit_log_resource ON audit_log (resource, resource_id);
CREATE INDEX audit_log_at ON audit_log (at);

INSERT INTO row_counts (name, rows) VALUES ('audit_log', 0);

CREATE TRIGGER audit_log_inserted AFTER INSERT ON audit_log BEGIN
    UPDATE row_counts SET rows = rows + 1 WHERE name = 'audit_log';
END;

CREATE TRIGGER audit_log_deleted AFTER DELETE ON audit_log BEGIN
    UPDATE row_counts SET rows = rows - 1 WHERE name = 'audit_log';
END;

CREATE TABLE webhooks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    url TEXT NOT NULL,
    -- A JSON list: customer.created, contact.*, *
    events TEXT NOT NULL,
    -- In the clear, since what is signed with it must be signed anew at each try.
    secret TEXT NOT NULL,
    active INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

-- What is to be told, written in the transaction that made it so, and what came of it.
CREATE TABLE webhook_deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook_id INTEGER NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    -- The same at every try, by which the receiver knows what it has had.
    message_id TEXT NOT NULL,
    event TEXT NOT NULL,
    body TEXT NOT NULL,
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

CREATE INDEX webhook_deliveries_webhook ON webhook_deliveries (webhook_id, id);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX webhook_deliveries_created ON webhook_deliveries (created_at);
