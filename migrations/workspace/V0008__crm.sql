-- What a PBX asks and journals: contacts found by address, calls and chats known by the PBX's own names.

-- Also made by the import of contacts, which matches on it.
CREATE INDEX IF NOT EXISTS contacts_email ON contacts (email COLLATE NOCASE);

-- What a PBX calls a row that it has journalled, so that a repeat is known. Names of the PBX of one customer are not
-- those of another's; customer_id is 0 for a PBX of the whole workspace.
CREATE TABLE external_ids (
    resource TEXT NOT NULL,
    customer_id INTEGER NOT NULL,
    external_id TEXT NOT NULL,
    resource_id INTEGER NOT NULL,
    PRIMARY KEY (resource, customer_id, external_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX external_ids_resource ON external_ids (resource, resource_id);

-- A name may hold a number: it goes with its call.
CREATE TRIGGER phone_calls_deleted_externally AFTER DELETE ON phone_calls BEGIN
    DELETE FROM external_ids WHERE resource = 'phone_calls' AND resource_id = old.id;
END;

-- Like phone calls: what they refer to may go, they stay.
CREATE TABLE chats (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    number TEXT,
    email TEXT,
    name TEXT,
    agent_extension TEXT,
    agent_name TEXT,
    queue TEXT,
    contact_id INTEGER REFERENCES contacts (id) ON DELETE SET NULL,
    customer_id INTEGER REFERENCES customers (id) ON DELETE SET NULL,
    user_id INTEGER REFERENCES users (id) ON DELETE SET NULL,
    subject TEXT,
    body TEXT,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX chats_contact ON chats (contact_id);
CREATE INDEX chats_customer ON chats (customer_id);
CREATE INDEX chats_user ON chats (user_id);
CREATE INDEX chats_started ON chats (started_at);
