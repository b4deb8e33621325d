-- The encryption provider's data, one row for each person.
CREATE TABLE encryption (
    person_id BIGINT PRIMARY KEY,
    hash TEXT NOT NULL,
    e2e_id TEXT NOT NULL,
    updated_at_ms BIGINT NOT NULL
);

-- Public keys, old ones too. One key at a time is in force for a person's device ('' is a key for all devices) and
-- algorithm; the others have revoked_at_ms.
CREATE TABLE public_key (
    id TEXT PRIMARY KEY,
    person_id BIGINT NOT NULL,
    device_id TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    public_key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    updated_at_ms BIGINT NOT NULL,
    revoked_at_ms BIGINT
);
CREATE UNIQUE INDEX public_key_in_force ON public_key (person_id, device_id, algorithm) WHERE revoked_at_ms IS NULL;
CREATE INDEX public_key_person ON public_key (person_id, updated_at_ms);
