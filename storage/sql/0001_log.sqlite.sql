-- The log: one row says which history this is (epoch) and the last id ever given (head). Ids are never given twice,
-- also not after `clear`.
CREATE TABLE log (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    epoch TEXT NOT NULL,
    head INTEGER NOT NULL
);
INSERT INTO log (one, epoch, head) VALUES (1, lower(hex(randomblob(8))), 0);

-- A conversation is a pair of parties; a party is +id for a person, -id for a company.
CREATE TABLE conversation (
    id INTEGER PRIMARY KEY,
    low INTEGER NOT NULL,
    high INTEGER NOT NULL,
    UNIQUE (low, high)
);
CREATE INDEX conversation_high ON conversation (high);

CREATE TABLE activity (
    id INTEGER PRIMARY KEY,
    type INTEGER NOT NULL,
    sender INTEGER NOT NULL,
    receiver INTEGER NOT NULL,
    conversation INTEGER NOT NULL,
    author INTEGER NOT NULL,
    call_time INTEGER,
    message TEXT,
    message_id TEXT,
    about INTEGER,
    created_at_ms INTEGER NOT NULL,
    idempotency_key TEXT,
    idempotency_hash BLOB
);
-- Every index ends in the row's id: a party's or a conversation's activity is one range scan, in id order.
CREATE INDEX activity_sender ON activity (sender);
CREATE INDEX activity_receiver ON activity (receiver);
CREATE INDEX activity_conversation ON activity (conversation);
-- Idempotency. The author comes first: a person's own keys lie together, whatever the size of the history.
CREATE UNIQUE INDEX activity_message ON activity (author, message_id) WHERE type = 0;
CREATE UNIQUE INDEX activity_idempotency ON activity (author, idempotency_key) WHERE idempotency_key IS NOT NULL;
-- A company's messages are written by any of its members: a reaction finds them by the company.
CREATE INDEX activity_company_message ON activity (sender, message_id) WHERE type = 0 AND sender < 0;

-- How far each side of a conversation has read: the id of the newest message its read indicators are about.
CREATE TABLE read_mark (
    conversation INTEGER NOT NULL,
    party INTEGER NOT NULL,
    about INTEGER NOT NULL,
    PRIMARY KEY (conversation, party)
) WITHOUT ROWID;
