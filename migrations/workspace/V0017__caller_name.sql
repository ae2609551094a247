-- The roles that look callers up as a PBX does may also look up names alone, and give a PBX a key for that.
UPDATE roles SET permissions = json_insert(permissions, '$[#]', 'crm.caller-name')
WHERE built_in AND name IN ('manager', 'agent');
