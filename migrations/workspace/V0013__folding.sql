-- Texts are searched and sorted by their fold (src/values/fold.rs): without case, accents and typographic variants.
--
-- What was there before is folded by the jobs, in turns (src/workspace/indexes.rs), and not here: a large file would keep
-- its workspace waiting. Until then a search finds what has had its turn.

ALTER TABLE customers ADD COLUMN folded_name TEXT;
ALTER TABLE contacts ADD COLUMN folded_last_name TEXT;
DROP INDEX customers_name;
DROP INDEX contacts_last_name;
CREATE INDEX customers_folded_name ON customers (folded_name);
CREATE INDEX contacts_folded_last_name ON contacts (folded_last_name);

-- The indexes keep no text, and need not be told what a row had to forget it: so a change of the fold leaves nothing
-- behind. Fewer, larger merges of their segments: a create that meets one waits less, and a search reads a few more.

DROP TRIGGER customers_inserted;
DROP TRIGGER customers_deleted;
DROP TRIGGER customers_updated;
DROP TABLE customers_fts;
CREATE VIRTUAL TABLE customers_fts USING fts5 (
    name, customer_account, email_address, main_contact_first_name, main_contact_last_name, main_address_city, comment,
    content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2'
);
INSERT INTO customers_fts (customers_fts, rank) VALUES ('automerge', 8);

CREATE TRIGGER customers_inserted AFTER INSERT ON customers BEGIN
    UPDATE row_counts SET rows = rows + 1 WHERE name = 'customers';
    INSERT INTO customers_fts (rowid, name, customer_account, email_address, main_contact_first_name, main_contact_last_name, main_address_city, comment)
    VALUES (new.id, fold(new.name), fold(new.customer_account), fold(new.email_address), fold(new.main_contact_first_name), fold(new.main_contact_last_name), fold(new.main_address_city), fold(new.comment));
END;

CREATE TRIGGER customers_deleted AFTER DELETE ON customers BEGIN
    UPDATE row_counts SET rows = rows - 1 WHERE name = 'customers';
    DELETE FROM phone_numbers WHERE resource = 'customers' AND resource_id = old.id;
    DELETE FROM customers_fts WHERE rowid = old.id;
END;

CREATE TRIGGER customers_updated AFTER UPDATE ON customers
WHEN (new.name, new.customer_account, new.email_address, new.main_contact_first_name, new.main_contact_last_name, new.main_address_city, new.comment)
    IS NOT (old.name, old.customer_account, old.email_address, old.main_contact_first_name, old.main_contact_last_name, old.main_address_city, old.comment)
BEGIN
    DELETE FROM customers_fts WHERE rowid = old.id;
    INSERT INTO customers_fts (rowid, name, customer_account, email_address, main_contact_first_name, main_contact_last_name, main_address_city, comment)
    VALUES (new.id, fold(new.name), fold(new.customer_account), fold(new.email_address), fold(new.main_contact_first_name), fold(new.main_contact_last_name), fold(new.main_address_city), fold(new.comment));
END;

DROP TRIGGER contacts_inserted;
DROP TRIGGER contacts_deleted;
DROP TRIGGER contacts_updated;
DROP TABLE contacts_fts;
CREATE VIRTUAL TABLE contacts_fts USING fts5 (
    first_name, last_name, email, company, role, service, comment,
    content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2'
);
INSERT INTO contacts_fts (contacts_fts, rank) VALUES ('automerge', 8);

CREATE TRIGGER contacts_inserted AFTER INSERT ON contacts BEGIN
    UPDATE row_counts SET rows = rows + 1 WHERE name = 'contacts';
    INSERT INTO contacts_fts (rowid, first_name, last_name, email, company, role, service, comment)
    VALUES (new.id, fold(new.first_name), fold(new.last_name), fold(new.email), fold(new.company), fold(new.role), fold(new.service), fold(new.comment));
END;

CREATE TRIGGER contacts_deleted AFTER DELETE ON contacts BEGIN
    UPDATE row_counts SET rows = rows - 1 WHERE name = 'contacts';
    DELETE FROM phone_numbers WHERE resource = 'contacts' AND resource_id = old.id;
    DELETE FROM contacts_fts WHERE rowid = old.id;
END;

CREATE TRIGGER contacts_updated AFTER UPDATE ON contacts
WHEN (new.first_name, new.last_name, new.email, new.company, new.role, new.service, new.comment)
    IS NOT (old.first_name, old.last_name, old.email, old.company, old.role, old.service, old.comment)
BEGIN
    DELETE FROM contacts_fts WHERE rowid = old.id;
    INSERT INTO contacts_fts (rowid, first_name, last_name, email, company, role, service, comment)
    VALUES (new.id, fold(new.first_name), fold(new.last_name), fold(new.email), fold(new.company), fold(new.role), fold(new.service), fold(new.comment));
END;

DROP TRIGGER users_inserted;
DROP TRIGGER users_deleted;
DROP TRIGGER users_updated;
DROP TABLE users_fts;
CREATE VIRTUAL TABLE users_fts USING fts5 (
    name, email,
    content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2'
);
INSERT INTO users_fts (users_fts, rank) VALUES ('automerge', 8);

CREATE TRIGGER users_inserted AFTER INSERT ON users BEGIN
    INSERT INTO users_fts (rowid, name, email)
    VALUES (new.id, fold(new.name), fold(new.email));
END;

CREATE TRIGGER users_deleted AFTER DELETE ON users BEGIN
    DELETE FROM phone_numbers WHERE resource = 'users' AND resource_id = old.id;
    DELETE FROM users_fts WHERE rowid = old.id;
END;

CREATE TRIGGER users_updated AFTER UPDATE ON users
WHEN (new.name, new.email)
    IS NOT (old.name, old.email)
BEGIN
    DELETE FROM users_fts WHERE rowid = old.id;
    INSERT INTO users_fts (rowid, name, email)
    VALUES (new.id, fold(new.name), fold(new.email));
END;

DROP TRIGGER phone_calls_inserted;
DROP TRIGGER phone_calls_deleted;
DROP TRIGGER phone_calls_updated;
DROP TABLE phone_calls_fts;
CREATE VIRTUAL TABLE phone_calls_fts USING fts5 (
    subject, body, agent_name, queue, transcription, summary,
    content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2'
);
INSERT INTO phone_calls_fts (phone_calls_fts, rank) VALUES ('automerge', 8);

CREATE TRIGGER phone_calls_inserted AFTER INSERT ON phone_calls BEGIN
    UPDATE row_counts SET rows = rows + 1 WHERE name = 'phone_calls';
    INSERT INTO phone_calls_fts (rowid, subject, body, agent_name, queue, transcription, summary)
    VALUES (new.id, fold(new.subject), fold(new.body), fold(new.agent_name), fold(new.queue), fold(new.transcription), fold(new.summary));
END;

CREATE TRIGGER phone_calls_deleted AFTER DELETE ON phone_calls BEGIN
    UPDATE row_counts SET rows = rows - 1 WHERE name = 'phone_calls';
    DELETE FROM phone_numbers WHERE resource = 'phone_calls' AND resource_id = old.id;
    DELETE FROM phone_calls_fts WHERE rowid = old.id;
END;

CREATE TRIGGER phone_calls_updated AFTER UPDATE ON phone_calls
WHEN (new.subject, new.body, new.agent_name, new.queue, new.transcription, new.summary)
    IS NOT (old.subject, old.body, old.agent_name, old.queue, old.transcription, old.summary)
BEGIN
    DELETE FROM phone_calls_fts WHERE rowid = old.id;
    INSERT INTO phone_calls_fts (rowid, subject, body, agent_name, queue, transcription, summary)
    VALUES (new.id, fold(new.subject), fold(new.body), fold(new.agent_name), fold(new.queue), fold(new.transcription), fold(new.summary));
END;

DROP TRIGGER routing_contacts_inserted;
DROP TRIGGER routing_contacts_deleted;
DROP TRIGGER routing_contacts_updated;
DROP TABLE routing_contacts_fts;
CREATE VIRTUAL TABLE routing_contacts_fts USING fts5 (
    id_code, company, first_name, last_name, emails, telecoms,
    content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2'
);
INSERT INTO routing_contacts_fts (routing_contacts_fts, rank) VALUES ('automerge', 8);

CREATE TRIGGER routing_contacts_inserted AFTER INSERT ON routing_contacts BEGIN
    INSERT OR IGNORE INTO routing_contact_emails (customer_id, email, contact_id)
    SELECT new.customer_id, value, new.id FROM json_each(new.emails);
    INSERT INTO routing_contacts_fts (rowid, id_code, company, first_name, last_name, emails, telecoms)
    VALUES (new.id, fold(new.id_code), fold(new.company), fold(new.first_name), fold(new.last_name), fold(new.emails), fold(new.telecoms));
END;

CREATE TRIGGER routing_contacts_deleted AFTER DELETE ON routing_contacts BEGIN
    DELETE FROM phone_numbers WHERE resource = 'routing_contacts' AND resource_id = old.id;
    DELETE FROM routing_contacts_fts WHERE rowid = old.id;
END;

CREATE TRIGGER routing_contacts_updated AFTER UPDATE ON routing_contacts
WHEN (new.id_code, new.company, new.first_name, new.last_name, new.emails, new.telecoms)
    IS NOT (old.id_code, old.company, old.first_name, old.last_name, old.emails, old.telecoms)
BEGIN
    DELETE FROM routing_contacts_fts WHERE rowid = old.id;
    INSERT INTO routing_contacts_fts (rowid, id_code, company, first_name, last_name, emails, telecoms)
    VALUES (new.id, fold(new.id_code), fold(new.company), fold(new.first_name), fold(new.last_name), fold(new.emails), fold(new.telecoms));
END;
