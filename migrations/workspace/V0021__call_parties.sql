-- The number of the other party of a call: of the caller, or of the number that was called. It is that of `phone_numbers`, as
-- bytes: SQLite copies a text for each read. Null without a number.
ALTER TABLE phone_calls ADD COLUMN party BLOB;

UPDATE phone_calls SET party = (
    SELECT CAST(reversed AS BLOB) FROM phone_numbers
    WHERE resource = 'phone_calls' AND resource_id = phone_calls.id
        AND field = iif(phone_calls.direction = 'inbound', 'number_from', 'number_to')
);

-- What a summary reads is in front. The other columns are for filters.
DROP INDEX phone_calls_period;
CREATE INDEX phone_calls_period ON phone_calls
    (started_at, id, counted, party, customer_id, queue, agent_name, direction, status, answered, duration_s);
