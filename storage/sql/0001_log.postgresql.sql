-- The log: one row says which history this is (epoch) and the last id ever given (head). Whoever appends holds this
-- row's lock from taking ids to commit, so ids become visible in order.
CREATE TABLE log (
    one SMALLINT PRIMARY KEY CHECK (one = 1),
    epoch TEXT NOT NULL,
    head BIGINT NOT NULL
);
INSERT INTO log (one, epoch, head) VALUES (1, substr(md5(random()::text || clock_timestamp()::text), 1, 16), 0);

-- A conversation is a pair of parties; a party is +id for a person, -id for a company.
CREATE TABLE conversation (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    low BIGINT NOT NULL,
    high BIGINT NOT NULL,
    UNIQUE (low, high)
);
CREATE INDEX conversation_high ON conversation (high);

CREATE TABLE activity (
    id BIGINT PRIMARY KEY,
    type SMALLINT NOT NULL,
    sender BIGINT NOT NULL,
    receiver BIGINT NOT NULL,
    conversation BIGINT NOT NULL,
    author BIGINT NOT NULL,
    call_time INTEGER,
    message BYTEA,
    message_id UUID,
    about BIGINT,
    created_at_ms BIGINT NOT NULL,
    idempotency_key TEXT,
    idempotency_hash BYTEA
);
CREATE INDEX activity_sender ON activity (sender, id);
CREATE INDEX activity_receiver ON activity (receiver, id);
CREATE INDEX activity_conversation ON activity (conversation, id);
-- Idempotency. The author comes first: a person's own keys lie together, whatever the size of the history.
CREATE UNIQUE INDEX activity_message ON activity (author, message_id) WHERE type = 0;
CREATE UNIQUE INDEX activity_idempotency ON activity (author, idempotency_key) WHERE idempotency_key IS NOT NULL;
-- A company's messages are written by any of its members: a reaction finds them by the company.
CREATE INDEX activity_company_message ON activity (sender, message_id) WHERE type = 0 AND sender < 0;

-- How far each side of a conversation has read: the id of the newest message its read indicators are about.
CREATE TABLE read_mark (
    conversation BIGINT NOT NULL,
    party BIGINT NOT NULL,
    about BIGINT NOT NULL,
    PRIMARY KEY (conversation, party)
);
