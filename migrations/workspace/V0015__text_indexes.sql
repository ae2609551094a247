-- Texts are indexed after the transaction that writes a row, many rows in one transaction: that takes a fraction of the time.
-- A search first indexes what is missing (src/tenancy/text_indexes.rs), so it finds every answered write.

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

-- To increase `last_id` is to index the rows up to it.
CREATE TRIGGER text_indexes_updated AFTER UPDATE ON text_indexes BEGIN
    INSERT OR REPLACE INTO customers_fts (rowid, name, customer_account, email_address, main_contact_first_name, main_contact_last_name, main_address_city, comment)
    SELECT id, fold(name), fold(customer_account), fold(email_address), fold(main_contact_first_name), fold(main_contact_last_name), fold(main_address_city), fold(comment)
    FROM customers WHERE new.resource = 'customers' AND id > old.last_id AND id <= new.last_id;
    INSERT OR REPLACE INTO contacts_fts (rowid, first_name, last_name, email, company, role, service, comment)
    SELECT id, fold(first_name), fold(last_name), fold(email), fold(company), fold(role), fold(service), fold(comment)
    FROM contacts WHERE new.resource = 'contacts' AND id > old.last_id AND id <= new.last_id;
    INSERT OR REPLACE INTO phone_calls_fts (rowid, subject, body, agent_name, queue, transcription, summary)
    SELECT id, fold(subject), fold(body), fold(agent_name), fold(queue), fold(transcription), fold(summary)
    FROM phone_calls WHERE new.resource = 'phone_calls' AND id > old.last_id AND id <= new.last_id;
    INSERT OR REPLACE INTO routing_contacts_fts (rowid, id_code, company, first_name, last_name, emails, telecoms)
    SELECT id, fold(id_code), fold(company), fold(first_name), fold(last_name), fold(emails), fold(telecoms)
    FROM routing_contacts WHERE new.resource = 'routing_contacts' AND id > old.last_id AND id <= new.last_id;
END;

-- To delete a row here is to index the texts as they are now. A deleted resource has none.
CREATE TRIGGER changed_texts_deleted AFTER DELETE ON changed_texts BEGIN
    INSERT OR REPLACE INTO customers_fts (rowid, name, customer_account, email_address, main_contact_first_name, main_contact_last_name, main_address_city, comment)
    SELECT id, fold(name), fold(customer_account), fold(email_address), fold(main_contact_first_name), fold(main_contact_last_name), fold(main_address_city), fold(comment)
    FROM customers WHERE old.resource = 'customers' AND id = old.resource_id;
    INSERT OR REPLACE INTO contacts_fts (rowid, first_name, last_name, email, company, role, service, comment)
    SELECT id, fold(first_name), fold(last_name), fold(email), fold(company), fold(role), fold(service), fold(comment)
    FROM contacts WHERE old.resource = 'contacts' AND id = old.resource_id;
    INSERT OR REPLACE INTO phone_calls_fts (rowid, subject, body, agent_name, queue, transcription, summary)
    SELECT id, fold(subject), fold(body), fold(agent_name), fold(queue), fold(transcription), fold(summary)
    FROM phone_calls WHERE old.resource = 'phone_calls' AND id = old.resource_id;
    INSERT OR REPLACE INTO routing_contacts_fts (rowid, id_code, company, first_name, last_name, emails, telecoms)
    SELECT id, fold(id_code), fold(company), fold(first_name), fold(last_name), fold(emails), fold(telecoms)
    FROM routing_contacts WHERE old.resource = 'routing_contacts' AND id = old.resource_id;
END;

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
