-- New rows are counted after the transaction that writes them, many at once (src/tenancy/row_counts.rs). A trigger for each
-- new row took a third of SQLite's work: for a statement with a trigger, SQLite also copies each page that it changes.

-- `rows` is the number of rows with an id up to `last_id`. Rows with a higher id are not in it yet.
ALTER TABLE row_counts ADD COLUMN last_id INTEGER NOT NULL DEFAULT 0;
UPDATE row_counts SET last_id = (SELECT coalesce(max(id), 0) FROM customers) WHERE name = 'customers';
UPDATE row_counts SET last_id = (SELECT coalesce(max(id), 0) FROM contacts) WHERE name = 'contacts';
UPDATE row_counts SET last_id = (SELECT coalesce(max(id), 0) FROM phone_calls) WHERE name = 'phone_calls';
UPDATE row_counts SET last_id = (SELECT coalesce(max(id), 0) FROM audit_log) WHERE name = 'audit_log';

DROP TRIGGER customers_inserted;
DROP TRIGGER contacts_inserted;
DROP TRIGGER phone_calls_inserted;
DROP TRIGGER audit_log_inserted;

DROP TRIGGER customers_deleted;
CREATE TRIGGER customers_deleted AFTER DELETE ON customers BEGIN
    UPDATE row_counts SET rows = rows - 1 WHERE name = 'customers' AND last_id >= old.id;
    DELETE FROM phone_numbers WHERE resource = 'customers' AND resource_id = old.id;
    DELETE FROM customers_fts WHERE rowid = old.id;
END;

DROP TRIGGER contacts_deleted;
CREATE TRIGGER contacts_deleted AFTER DELETE ON contacts BEGIN
    UPDATE row_counts SET rows = rows - 1 WHERE name = 'contacts' AND last_id >= old.id;
    DELETE FROM phone_numbers WHERE resource = 'contacts' AND resource_id = old.id;
    DELETE FROM contacts_fts WHERE rowid = old.id;
END;

DROP TRIGGER phone_calls_deleted;
CREATE TRIGGER phone_calls_deleted AFTER DELETE ON phone_calls BEGIN
    UPDATE row_counts SET rows = rows - 1 WHERE name = 'phone_calls' AND last_id >= old.id;
    DELETE FROM phone_numbers WHERE resource = 'phone_calls' AND resource_id = old.id;
    DELETE FROM phone_calls_fts WHERE rowid = old.id;
END;

DROP TRIGGER audit_log_deleted;
CREATE TRIGGER audit_log_deleted AFTER DELETE ON audit_log BEGIN
    UPDATE row_counts SET rows = rows - 1 WHERE name = 'audit_log' AND last_id >= old.id;
END;
