-- The extension of a user's phone, and which calls pop up for the user: none, mine or all.
ALTER TABLE users ADD COLUMN extension TEXT;
ALTER TABLE users ADD COLUMN pops TEXT NOT NULL DEFAULT 'mine';

-- The search finds call queues and CTIs by their names, with one index for each.

CREATE VIRTUAL TABLE call_queues_fts USING fts5 (
    name, code,
    content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2'
);
INSERT INTO call_queues_fts (rowid, name, code) SELECT id, fold(name), fold(code) FROM call_queues;

CREATE TRIGGER call_queues_inserted AFTER INSERT ON call_queues BEGIN
    INSERT INTO call_queues_fts (rowid, name, code) VALUES (new.id, fold(new.name), fold(new.code));
END;

DROP TRIGGER call_queues_deleted;
CREATE TRIGGER call_queues_deleted AFTER DELETE ON call_queues BEGIN
    DELETE FROM phone_numbers WHERE resource = 'call_queues' AND resource_id = old.id;
    DELETE FROM call_queues_fts WHERE rowid = old.id;
END;

CREATE TRIGGER call_queues_updated AFTER UPDATE ON call_queues WHEN (new.name, new.code) IS NOT (old.name, old.code) BEGIN
    DELETE FROM call_queues_fts WHERE rowid = old.id;
    INSERT INTO call_queues_fts (rowid, name, code) VALUES (new.id, fold(new.name), fold(new.code));
END;

CREATE VIRTUAL TABLE ctis_fts USING fts5 (
    name,
    content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2'
);
INSERT INTO ctis_fts (rowid, name) SELECT id, fold(name) FROM ctis;

CREATE TRIGGER ctis_inserted AFTER INSERT ON ctis BEGIN
    INSERT INTO ctis_fts (rowid, name) VALUES (new.id, fold(new.name));
END;

CREATE TRIGGER ctis_deleted AFTER DELETE ON ctis BEGIN
    DELETE FROM ctis_fts WHERE rowid = old.id;
END;

CREATE TRIGGER ctis_updated AFTER UPDATE ON ctis WHEN new.name IS NOT old.name BEGIN
    DELETE FROM ctis_fts WHERE rowid = old.id;
    INSERT INTO ctis_fts (rowid, name) VALUES (new.id, fold(new.name));
END;
