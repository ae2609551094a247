-- Which workspaces have webhooks: at its start the server looks for deliveries in these alone.
CREATE TABLE webhook_workspaces (
    workspace_id TEXT PRIMARY KEY REFERENCES workspaces (id) ON DELETE CASCADE,
    -- Set by commands that run beside a server and make deliveries.
    has_news INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
