-- Revoked credentials. Every revocation takes the next version while it holds the counter's row to its commit, so
-- versions become visible in order and a node that has seen version N asks for what is newer than N alone.
CREATE TABLE revocation_counter (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    version BIGINT NOT NULL
);
INSERT INTO revocation_counter (one, version) VALUES (1, 0);

-- Either one token (token_id) or every token that a person got until then (person_id and revoked_at_ms).
-- After expires_at_ms no token that the row is about can be alive, and the row may go.
CREATE TABLE revocation (
    version BIGINT PRIMARY KEY,
    token_id TEXT,
    person_id BIGINT,
    revoked_at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL
);
CREATE INDEX revocation_expires ON revocation (expires_at_ms);
CREATE INDEX revocation_person ON revocation (person_id) WHERE person_id IS NOT NULL;

-- What each device of a person says it has safely kept.
CREATE TABLE device (
    person_id BIGINT NOT NULL,
    device_id TEXT NOT NULL,
    received_id BIGINT NOT NULL,
    seen_at_ms BIGINT NOT NULL,
    PRIMARY KEY (person_id, device_id)
);
