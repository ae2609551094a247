-- Duplicates: contacts and customers with the same number, address, or name. Each kind of sameness has an index.

-- The folded names and company of a contact.
ALTER TABLE contacts ADD COLUMN folded_identity TEXT;
CREATE INDEX contacts_folded_identity ON contacts (folded_identity);
CREATE INDEX customers_email ON customers (email_address COLLATE NOCASE) WHERE email_address IS NOT NULL;

-- The jobs fold the rows that exist already, in turns.
DELETE FROM settings WHERE name = 'texts_indexed_by';

-- Pairs of which a person said that they are not the same. The smaller id comes first.
CREATE TABLE dismissed_contact_pairs (
    a INTEGER NOT NULL REFERENCES contacts (id) ON DELETE CASCADE,
    b INTEGER NOT NULL REFERENCES contacts (id) ON DELETE CASCADE,
    PRIMARY KEY (a, b),
    CHECK (a < b)
) STRICT, WITHOUT ROWID;

CREATE INDEX dismissed_contact_pairs_b ON dismissed_contact_pairs (b);

CREATE TABLE dismissed_customer_pairs (
    a INTEGER NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
    b INTEGER NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
    PRIMARY KEY (a, b),
    CHECK (a < b)
) STRICT, WITHOUT ROWID;

CREATE INDEX dismissed_customer_pairs_b ON dismissed_customer_pairs (b);
