-- Which chat messages are stored, by author and message id. The unique index that this replaces was written with every
-- commit, and each author's entries are at another place. This follows the log in large sorted steps: the messages in
-- (log_index.messages, log.head] are not in it yet, and are looked for in memory.
CREATE TABLE message_key (
    author INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    activity INTEGER NOT NULL,
    PRIMARY KEY (author, message_id)
) WITHOUT ROWID;
INSERT INTO message_key (author, message_id, activity)
    SELECT author, message_id, id FROM activity WHERE type = 0 AND message_id IS NOT NULL ORDER BY 1, 2;
ALTER TABLE log_index ADD COLUMN messages INTEGER NOT NULL DEFAULT 0;
UPDATE log_index SET messages = (SELECT head FROM log);
DROP INDEX activity_message;
