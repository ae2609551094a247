-- Call routing. Every row is of one customer, also where it is inside another row: so no answer to one customer can be
-- of another. Texts are kept as they were written; what is compared in another form stands beside them.

CREATE TABLE routing_fields (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    name TEXT NOT NULL,
    default_value TEXT,
    -- One of the field's own.
    default_option_id INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX routing_fields_customer ON routing_fields (customer_id);

CREATE TABLE routing_options (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    routing_field_id INTEGER NOT NULL REFERENCES routing_fields (id),
    name TEXT NOT NULL,
    value TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX routing_options_customer ON routing_options (customer_id);
CREATE INDEX routing_options_field ON routing_options (routing_field_id);

CREATE TABLE routing_contacts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    id_code TEXT,
    language_code TEXT,
    company TEXT,
    first_name TEXT,
    last_name TEXT,
    -- JSON lists of texts.
    emails TEXT NOT NULL,
    telecoms TEXT NOT NULL,
    email_destination TEXT,
    telecom_destination TEXT,
    field_select_1 TEXT,
    field_select_2 TEXT,
    field_select_3 TEXT,
    field_select_4 TEXT,
    field_boolean_1 INTEGER NOT NULL,
    field_boolean_2 INTEGER NOT NULL,
    field_boolean_3 INTEGER NOT NULL,
    field_boolean_4 INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (customer_id, id_code)
) STRICT;

CREATE INDEX routing_contacts_customer ON routing_contacts (customer_id);

-- What a contact is found by that writes; the numbers of those who call are in phone_numbers.
CREATE TABLE routing_contact_emails (
    customer_id INTEGER NOT NULL,
    email TEXT NOT NULL COLLATE NOCASE,
    contact_id INTEGER NOT NULL REFERENCES routing_contacts (id) ON DELETE CASCADE,
    PRIMARY KEY (customer_id, email, contact_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX routing_contact_emails_contact ON routing_contact_emails (contact_id);

CREATE VIRTUAL TABLE routing_contacts_fts USING fts5 (
    id_code, company, first_name, last_name, emails, telecoms,
    content = 'routing_contacts', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2', columnsize = 0
);

INSERT INTO routing_contacts_fts (routing_contacts_fts, rank) VALUES ('automerge', 8);

CREATE TRIGGER routing_contacts_inserted AFTER INSERT ON routing_contacts BEGIN
    INSERT OR IGNORE INTO routing_contact_emails (customer_id, email, contact_id)
    SELECT new.customer_id, value, new.id FROM json_each(new.emails);
    INSERT INTO routing_contacts_fts (rowid, id_code, company, first_name, last_name, emails, telecoms)
    VALUES (new.id, new.id_code, new.company, new.first_name, new.last_name, new.emails, new.telecoms);
END;

CREATE TRIGGER routing_contacts_deleted AFTER DELETE ON routing_contacts BEGIN
    DELETE FROM phone_numbers WHERE resource = 'routing_contacts' AND resource_id = old.id;
    INSERT INTO routing_contacts_fts (routing_contacts_fts, rowid, id_code, company, first_name, last_name, emails, telecoms)
    VALUES ('delete', old.id, old.id_code, old.company, old.first_name, old.last_name, old.emails, old.telecoms);
END;

CREATE TRIGGER routing_contacts_addressed AFTER UPDATE ON routing_contacts
WHEN (new.customer_id, new.emails) IS NOT (old.customer_id, old.emails)
BEGIN
    DELETE FROM routing_contact_emails WHERE contact_id = new.id;
    INSERT OR IGNORE INTO routing_contact_emails (customer_id, email, contact_id)
    SELECT new.customer_id, value, new.id FROM json_each(new.emails);
END;

CREATE TRIGGER routing_contacts_updated AFTER UPDATE ON routing_contacts
WHEN (new.id_code, new.company, new.first_name, new.last_name, new.emails, new.telecoms)
    IS NOT (old.id_code, old.company, old.first_name, old.last_name, old.emails, old.telecoms)
BEGIN
    INSERT INTO routing_contacts_fts (routing_contacts_fts, rowid, id_code, company, first_name, last_name, emails, telecoms)
    VALUES ('delete', old.id, old.id_code, old.company, old.first_name, old.last_name, old.emails, old.telecoms);
    INSERT INTO routing_contacts_fts (rowid, id_code, company, first_name, last_name, emails, telecoms)
    VALUES (new.id, new.id_code, new.company, new.first_name, new.last_name, new.emails, new.telecoms);
END;

CREATE TABLE geo_lists (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    -- The customer's own name for it.
    list_id TEXT NOT NULL,
    list_name TEXT,
    fallback_destination_1 TEXT,
    fallback_destination_2 TEXT,
    fallback_destination_3 TEXT,
    fallback_destination_4 TEXT,
    -- Of those that the program ships.
    geo_routing_model_id INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (customer_id, list_id)
) STRICT;

CREATE TABLE geo_destinations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    geo_routing_list_id INTEGER NOT NULL REFERENCES geo_lists (id),
    -- A JSON list of codes of the list's model.
    zones TEXT NOT NULL,
    nickname TEXT,
    destination_1 TEXT,
    destination_2 TEXT,
    destination_3 TEXT,
    destination_4 TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX geo_destinations_customer ON geo_destinations (customer_id);
CREATE INDEX geo_destinations_list ON geo_destinations (geo_routing_list_id);

-- Which destination of a list a zone is in: one only.
CREATE TABLE geo_destination_zones (
    geo_routing_list_id INTEGER NOT NULL,
    zone TEXT NOT NULL,
    destination_id INTEGER NOT NULL REFERENCES geo_destinations (id) ON DELETE CASCADE,
    PRIMARY KEY (geo_routing_list_id, zone)
) STRICT, WITHOUT ROWID;

CREATE INDEX geo_destination_zones_destination ON geo_destination_zones (destination_id);

CREATE TABLE call_queue_groups (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX call_queue_groups_customer ON call_queue_groups (customer_id);

CREATE TABLE call_queues (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    active INTEGER NOT NULL,
    name TEXT NOT NULL,
    code TEXT,
    number TEXT,
    did_number TEXT,
    host_name TEXT,
    kind TEXT,
    call_queue_group_id INTEGER REFERENCES call_queue_groups (id),
    default_destination_type TEXT,
    default_destination TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (customer_id, code)
) STRICT;

CREATE INDEX call_queues_group ON call_queues (call_queue_group_id);

CREATE TRIGGER call_queues_deleted AFTER DELETE ON call_queues BEGIN
    DELETE FROM phone_numbers WHERE resource = 'call_queues' AND resource_id = old.id;
END;

-- Of a queue or of a group: parent_type is call_queue or call_queue_group.
CREATE TABLE time_spans (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    time_spanable_type TEXT NOT NULL,
    time_spanable_id INTEGER NOT NULL,
    reference TEXT,
    destination TEXT,
    day_of_week INTEGER,
    date_full TEXT,
    -- Either of them, as one text: dates are before days of the week.
    on_day TEXT GENERATED ALWAYS AS (coalesce(date_full, 'day ' || day_of_week)) VIRTUAL,
    -- As they were written, and what they are in seconds since midnight.
    start_time TEXT NOT NULL,
    end_time TEXT NOT NULL,
    start_second INTEGER NOT NULL,
    end_second INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX time_spans_customer ON time_spans (customer_id);
CREATE INDEX time_spans_day ON time_spans (time_spanable_id, time_spanable_type, on_day);

CREATE TABLE routing_exceptions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    exceptionable_type TEXT NOT NULL,
    exceptionable_id INTEGER NOT NULL,
    reference TEXT,
    label TEXT,
    destination TEXT,
    -- 2027-05-01, or --05-01 for every year
    day TEXT NOT NULL,
    holiday INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX routing_exceptions_customer ON routing_exceptions (customer_id);
CREATE INDEX routing_exceptions_day ON routing_exceptions (exceptionable_id, exceptionable_type, day);

CREATE TABLE ctis (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    name TEXT NOT NULL,
    -- Of its token: how it ends, and what it is known by. The token itself is not kept.
    last_four TEXT,
    digest BLOB UNIQUE,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX ctis_customer ON ctis (customer_id);

CREATE TABLE cti_destinations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    cti_id INTEGER NOT NULL REFERENCES ctis (id),
    origin TEXT NOT NULL,
    -- The origin without what only people read in it, and without its star.
    dialled TEXT NOT NULL,
    is_prefix INTEGER NOT NULL,
    destination TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (cti_id, is_prefix, dialled)
) STRICT;

CREATE INDEX cti_destinations_customer ON cti_destinations (customer_id);

CREATE TABLE cfd_tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    name TEXT NOT NULL,
    -- Whose rights it has; without them, when they have left, it opens nothing.
    user_id INTEGER REFERENCES users (id) ON DELETE SET NULL,
    -- A JSON list of addresses and names.
    hosts TEXT NOT NULL,
    expires_at INTEGER,
    last_four TEXT,
    digest BLOB UNIQUE,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX cfd_tokens_customer ON cfd_tokens (customer_id);
CREATE INDEX cfd_tokens_user ON cfd_tokens (user_id);

CREATE TABLE surveys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX surveys_customer ON surveys (customer_id);

CREATE TABLE survey_records (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    survey_id INTEGER NOT NULL REFERENCES surveys (id),
    caller TEXT,
    score_1 TEXT,
    score_2 TEXT,
    score_3 TEXT,
    agent_extension TEXT,
    agent_name TEXT,
    datetime INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX survey_records_customer ON survey_records (customer_id);
CREATE INDEX survey_records_survey ON survey_records (survey_id, datetime);
