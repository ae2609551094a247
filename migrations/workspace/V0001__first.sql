-- A workspace's file: its people, its settings, its customers and contacts. Times are seconds since 1970 in UTC.

-- One row: which workspace this file is, wherever it has been copied to.
CREATE TABLE workspace (
    id TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE roles (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL COLLATE NOCASE UNIQUE,
    -- A JSON list of permissions: customer.view, customer.*, *
    permissions TEXT NOT NULL,
    built_in INTEGER NOT NULL DEFAULT 0
) STRICT;

INSERT INTO roles (name, permissions, built_in) VALUES
    ('admin', '["*"]', 1),
    ('manager', '["customer.*","contact.*","phone-call.*","organisation.*","integration-key.*","routing.*","webhook.*","crm.lookup","audit.view","user.view","user.invite","user.update"]', 1),
    ('agent', '["customer.view","contact.view","contact.create","contact.update","phone-call.view","phone-call.create","phone-call.update","organisation.view","integration-key.view","routing.view","webhook.view","oauth-client.view","crm.lookup","audit.view","user.view"]', 1);

CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id INTEGER NOT NULL UNIQUE,
    -- Copies from the account, refreshed at login and switch.
    name TEXT NOT NULL,
    email TEXT NOT NULL COLLATE NOCASE,
    phone TEXT,
    mobile_phone TEXT,
    role_id INTEGER NOT NULL REFERENCES roles (id),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE customers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    customer_account TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    kind TEXT,
    registration_number TEXT,
    tax_registration_number TEXT,
    activity_code TEXT,
    email_address TEXT,
    phone TEXT,
    mobile_phone TEXT,
    fax TEXT,
    website TEXT,
    main_contact_first_name TEXT,
    main_contact_last_name TEXT,
    main_address_line1 TEXT,
    main_address_line2 TEXT,
    main_address_postal_code TEXT,
    main_address_city TEXT,
    main_address_country TEXT,
    comment TEXT,
    active INTEGER NOT NULL,
    vip INTEGER NOT NULL,
    custom_fields TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX customers_name ON customers (name COLLATE NOCASE);

CREATE TABLE contacts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    customer_id INTEGER REFERENCES customers (id),
    civility TEXT,
    first_name TEXT,
    last_name TEXT NOT NULL,
    email TEXT,
    company TEXT,
    website TEXT,
    phone_business_1 TEXT,
    phone_business_2 TEXT,
    phone_mobile_1 TEXT,
    phone_mobile_2 TEXT,
    phone_home_1 TEXT,
    fax TEXT,
    role TEXT,
    service TEXT,
    comment TEXT,
    custom_fields TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX contacts_customer ON contacts (customer_id);
CREATE INDEX contacts_last_name ON contacts (last_name COLLATE NOCASE);

-- Every number of a resource in the form it is found by: the digits of its E.164 form, or of the text where it has none,
-- back to front. So one index answers both "this number" and "ends with these digits".
CREATE TABLE phone_numbers (
    resource TEXT NOT NULL,
    resource_id INTEGER NOT NULL,
    field TEXT NOT NULL,
    reversed TEXT NOT NULL,
    PRIMARY KEY (resource, resource_id, field)
) STRICT, WITHOUT ROWID;

CREATE INDEX phone_numbers_reversed ON phone_numbers (resource, reversed);

-- Rows of each large table, so that a list need not count them.
CREATE TABLE row_counts (
    name TEXT PRIMARY KEY,
    rows INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO row_counts (name, rows) VALUES ('customers', 0), ('contacts', 0);

CREATE VIRTUAL TABLE customers_fts USING fts5 (
    name, customer_account, email_address, main_contact_first_name, main_contact_last_name, main_address_city, comment,
    content = 'customers', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2', columnsize = 0
);

CREATE VIRTUAL TABLE contacts_fts USING fts5 (
    first_name, last_name, email, company, role, service, comment,
    content = 'contacts', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2', columnsize = 0
);

-- Fewer, larger merges of the indexes' segments: a create that meets one waits less, and a search reads a few more.
INSERT INTO customers_fts (customers_fts, rank) VALUES ('automerge', 8);
INSERT INTO contacts_fts (contacts_fts, rank) VALUES ('automerge', 8);

CREATE TRIGGER customers_inserted AFTER INSERT ON customers BEGIN
    UPDATE row_counts SET rows = rows + 1 WHERE name = 'customers';
    INSERT INTO customers_fts (rowid, name, customer_account, email_address, main_contact_first_name, main_contact_last_name, main_address_city, comment)
    VALUES (new.id, new.name, new.customer_account, new.email_address, new.main_contact_first_name, new.main_contact_last_name, new.main_address_city, new.comment);
END;

CREATE TRIGGER customers_deleted AFTER DELETE ON customers BEGIN
    UPDATE row_counts SET rows = rows - 1 WHERE name = 'customers';
    DELETE FROM phone_numbers WHERE resource = 'customers' AND resource_id = old.id;
    INSERT INTO customers_fts (customers_fts, rowid, name, customer_account, email_address, main_contact_first_name, main_contact_last_name, main_address_city, comment)
    VALUES ('delete', old.id, old.name, old.customer_account, old.email_address, old.main_contact_first_name, old.main_contact_last_name, old.main_address_city, old.comment);
END;

CREATE TRIGGER customers_updated AFTER UPDATE ON customers
WHEN (new.name, new.customer_account, new.email_address, new.main_contact_first_name, new.main_contact_last_name, new.main_address_city, new.comment)
    IS NOT (old.name, old.customer_account, old.email_address, old.main_contact_first_name, old.main_contact_last_name, old.main_address_city, old.comment)
BEGIN
    INSERT INTO customers_fts (customers_fts, rowid, name, customer_account, email_address, main_contact_first_name, main_contact_last_name, main_address_city, comment)
    VALUES ('delete', old.id, old.name, old.customer_account, old.email_address, old.main_contact_first_name, old.main_contact_last_name, old.main_address_city, old.comment);
    INSERT INTO customers_fts (rowid, name, customer_account, email_address, main_contact_first_name, main_contact_last_name, main_address_city, comment)
    VALUES (new.id, new.name, new.customer_account, new.email_address, new.main_contact_first_name, new.main_contact_last_name, new.main_address_city, new.comment);
END;

CREATE TRIGGER contacts_inserted AFTER INSERT ON contacts BEGIN
    UPDATE row_counts SET rows = rows + 1 WHERE name = 'contacts';
    INSERT INTO contacts_fts (rowid, first_name, last_name, email, company, role, service, comment)
    VALUES (new.id, new.first_name, new.last_name, new.email, new.company, new.role, new.service, new.comment);
END;

CREATE TRIGGER contacts_deleted AFTER DELETE ON contacts BEGIN
    UPDATE row_counts SET rows = rows - 1 WHERE name = 'contacts';
    DELETE FROM phone_numbers WHERE resource = 'contacts' AND resource_id = old.id;
    INSERT INTO contacts_fts (contacts_fts, rowid, first_name, last_name, email, company, role, service, comment)
    VALUES ('delete', old.id, old.first_name, old.last_name, old.email, old.company, old.role, old.service, old.comment);
END;

CREATE TRIGGER contacts_updated AFTER UPDATE ON contacts
WHEN (new.first_name, new.last_name, new.email, new.company, new.role, new.service, new.comment)
    IS NOT (old.first_name, old.last_name, old.email, old.company, old.role, old.service, old.comment)
BEGIN
    INSERT INTO contacts_fts (contacts_fts, rowid, first_name, last_name, email, company, role, service, comment)
    VALUES ('delete', old.id, old.first_name, old.last_name, old.email, old.company, old.role, old.service, old.comment);
    INSERT INTO contacts_fts (rowid, first_name, last_name, email, company, role, service, comment)
    VALUES (new.id, new.first_name, new.last_name, new.email, new.company, new.role, new.service, new.comment);
END;
