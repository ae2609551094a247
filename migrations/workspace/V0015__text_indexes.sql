-- Texts are indexed after the transaction that writes a row, many rows in one transaction: that takes a fraction of the time.
-- A search first indexes what is missing (src/tenancy/text_indexes.rs), so it finds every answered write. No trigger indexes:
-- each connection would have to parse it.

-- The last row of each table that is in its index. Higher ids are not indexed yet: ids only increase.
CREATE TABLE text_indexes (
    resource TEXT PRIMARY KEY,
    last_id INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Indexed rows whose texts have changed since. A row may be here more than once.
CREATE TABLE changed_texts (
    position INTEGER PRIMARY KEY,
    resource TEXT NOT NULL,
    resource_id INTEGER NOT NULL
) STRICT;

INSERT INTO text_indexes (resource, last_id) VALUES
    ('customers', (SELECT coalesce(max(id), 0) FROM customers)),
    ('contacts', (SELECT coalesce(max(id), 0) FROM contacts)),
    ('phone_calls', (SELECT coalesce(max(id), 0) FROM phone_calls)),
    ('routing_contacts', (SELECT coalesce(max(id), 0) FROM routing_contacts));

DROP TRIGGER customers_inserted;
CREATE TRIGGER customers_inserted AFTER INSERT ON customers BEGIN
    UPDATE row_counts SET rows = rows + 1 WHERE name = 'customers';
END;

DROP TRIGGER customers_updated;
CREATE TRIGGER customers_updated AFTER UPDATE ON customers
WHEN (new.name, new.customer_account, new.email_address, new.main_contact_first_name, new.main_contact_last_name, new.main_address_city, new.comment)
    IS NOT (old.name, old.customer_account, old.email_address, old.main_contact_first_name, old.main_contact_last_name, old.main_address_city, old.comment)
BEGIN
    INSERT INTO changed_texts (resource, resource_id)
    SELECT resource, new.id FROM text_indexes WHERE resource = 'customers' AND last_id >= new.id;
END;

DROP TRIGGER contacts_inserted;
CREATE TRIGGER contacts_inserted AFTER INSERT ON contacts BEGIN
    UPDATE row_counts SET rows = rows + 1 WHERE name = 'contacts';
END;

DROP TRIGGER contacts_updated;
CREATE TRIGGER contacts_updated AFTER UPDATE ON contacts
WHEN (new.first_name, new.last_name, new.email, new.company, new.role, new.service, new.comment)
    IS NOT (old.first_name, old.last_name, old.email, old.company, old.role, old.service, old.comment)
BEGIN
    INSERT INTO changed_texts (resource, resource_id)
    SELECT resource, new.id FROM text_indexes WHERE resource = 'contacts' AND last_id >= new.id;
END;

DROP TRIGGER phone_calls_inserted;
CREATE TRIGGER phone_calls_inserted AFTER INSERT ON phone_calls BEGIN
    UPDATE row_counts SET rows = rows + 1 WHERE name = 'phone_calls';
END;

DROP TRIGGER phone_calls_updated;
CREATE TRIGGER phone_calls_updated AFTER UPDATE ON phone_calls
WHEN (new.subject, new.body, new.agent_name, new.queue, new.transcription, new.summary)
    IS NOT (old.subject, old.body, old.agent_name, old.queue, old.transcription, old.summary)
BEGIN
    INSERT INTO changed_texts (resource, resource_id)
    SELECT resource, new.id FROM text_indexes WHERE resource = 'phone_calls' AND last_id >= new.id;
END;

DROP TRIGGER routing_contacts_inserted;
CREATE TRIGGER routing_contacts_inserted AFTER INSERT ON routing_contacts BEGIN
    INSERT OR IGNORE INTO routing_contact_emails (customer_id, email, contact_id)
    SELECT new.customer_id, value, new.id FROM json_each(new.emails);
END;

DROP TRIGGER routing_contacts_updated;
CREATE TRIGGER routing_contacts_updated AFTER UPDATE ON routing_contacts
WHEN (new.id_code, new.company, new.first_name, new.last_name, new.emails, new.telecoms)
    IS NOT (old.id_code, old.company, old.first_name, old.last_name, old.emails, old.telecoms)
BEGIN
    INSERT INTO changed_texts (resource, resource_id)
    SELECT resource, new.id FROM text_indexes WHERE resource = 'routing_contacts' AND last_id >= new.id;
END;
