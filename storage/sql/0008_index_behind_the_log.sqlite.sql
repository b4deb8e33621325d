-- The log's own indexes follow it in large sorted steps instead of with every commit: an index entry of each party at
-- another place made most of the pages that a commit wrote. What is not indexed yet is in (log_index.indexed, log.head].
CREATE TABLE party_activity (
    party INTEGER NOT NULL,
    activity INTEGER NOT NULL,
    PRIMARY KEY (party, activity)
) WITHOUT ROWID;
INSERT INTO party_activity (party, activity)
    SELECT sender, id FROM activity
    UNION ALL SELECT receiver, id FROM activity WHERE receiver <> sender
    ORDER BY 1, 2;

CREATE TABLE conversation_activity (
    conversation INTEGER NOT NULL,
    activity INTEGER NOT NULL,
    PRIMARY KEY (conversation, activity)
) WITHOUT ROWID;
INSERT INTO conversation_activity (conversation, activity) SELECT conversation, id FROM activity ORDER BY 1, 2;

CREATE TABLE log_index (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    indexed INTEGER NOT NULL
);
INSERT INTO log_index (one, indexed) SELECT 1, head FROM log;

DROP INDEX activity_sender;
DROP INDEX activity_receiver;
DROP INDEX activity_conversation;
