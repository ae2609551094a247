-- The desk: the workspace's own legal entities, its settings through the API, the journal of phone calls.

CREATE TABLE organisations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    registration_number TEXT,
    tax_registration_number TEXT,
    slogan TEXT,
    organisation_type TEXT,
    capital TEXT,
    activity_code TEXT,
    main_contact_first_name TEXT,
    main_contact_last_name TEXT,
    main_address_line1 TEXT,
    main_address_line2 TEXT,
    main_address_postal_code TEXT,
    main_address_city TEXT,
    main_address_country TEXT,
    email_address TEXT,
    website TEXT,
    phone TEXT,
    mobile_phone TEXT,
    fax TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

-- A workspace that was made before has one too, from its beginning. What it is called is not in its file.
INSERT INTO organisations (name, created_at, updated_at) SELECT 'Organisation', created_at, created_at FROM workspace;

-- The country that every number in the index is read by; something else while that is being changed.
INSERT INTO settings (name, value) SELECT 'phones_indexed_for', value FROM settings WHERE name = 'default_country';

-- What calls refer to may go: the journal stays.
CREATE TABLE phone_calls (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    direction TEXT NOT NULL,
    status TEXT NOT NULL,
    answered INTEGER NOT NULL,
    number_from TEXT,
    number_to TEXT,
    agent_extension TEXT,
    agent_name TEXT,
    queue TEXT,
    contact_id INTEGER REFERENCES contacts (id) ON DELETE SET NULL,
    -- Whose call it was when it was journalled: the contact may have moved since.
    customer_id INTEGER REFERENCES customers (id) ON DELETE SET NULL,
    user_id INTEGER REFERENCES users (id) ON DELETE SET NULL,
    subject TEXT,
    body TEXT,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    duration_s INTEGER,
    recording_url TEXT,
    transcription TEXT,
    summary TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX phone_calls_contact ON phone_calls (contact_id);
CREATE INDEX phone_calls_customer ON phone_calls (customer_id);
CREATE INDEX phone_calls_user ON phone_calls (user_id);
CREATE INDEX phone_calls_started ON phone_calls (started_at);

INSERT INTO row_counts (name, rows) VALUES ('phone_calls', 0);

CREATE VIRTUAL TABLE phone_calls_fts USING fts5 (
    subject, body, agent_name, queue, transcription, summary,
    content = 'phone_calls', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2', columnsize = 0
);
INSERT INTO phone_calls_fts (phone_calls_fts, rank) VALUES ('automerge', 8);

CREATE TRIGGER phone_calls_inserted AFTER INSERT ON phone_calls BEGIN
    UPDATE row_counts SET rows = rows + 1 WHERE name = 'phone_calls';
    INSERT INTO phone_calls_fts (rowid, subject, body, agent_name, queue, transcription, summary)
    VALUES (new.id, new.subject, new.body, new.agent_name, new.queue, new.transcription, new.summary);
END;

CREATE TRIGGER phone_calls_deleted AFTER DELETE ON phone_calls BEGIN
    UPDATE row_counts SET rows = rows - 1 WHERE name = 'phone_calls';
    DELETE FROM phone_numbers WHERE resource = 'phone_calls' AND resource_id = old.id;
    INSERT INTO phone_calls_fts (phone_calls_fts, rowid, subject, body, agent_name, queue, transcription, summary)
    VALUES ('delete', old.id, old.subject, old.body, old.agent_name, old.queue, old.transcription, old.summary);
END;

CREATE TRIGGER phone_calls_updated AFTER UPDATE ON phone_calls
WHEN (new.subject, new.body, new.agent_name, new.queue, new.transcription, new.summary)
    IS NOT (old.subject, old.body, old.agent_name, old.queue, old.transcription, old.summary)
BEGIN
    INSERT INTO phone_calls_fts (phone_calls_fts, rowid, subject, body, agent_name, queue, transcription, summary)
    VALUES ('delete', old.id, old.subject, old.body, old.agent_name, old.queue, old.transcription, old.summary);
    INSERT INTO phone_calls_fts (rowid, subject, body, agent_name, queue, transcription, summary)
    VALUES (new.id, new.subject, new.body, new.agent_name, new.queue, new.transcription, new.summary);
END;
