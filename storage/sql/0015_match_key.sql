-- Numbers are compared by their match key (protocol/match_key.py). match_key is NULL where that is the number itself, which
-- it is for most: rows of a release before this step are right but for those that storage/telephony/match_keys.py then gives one.
ALTER TABLE phone ADD COLUMN match_key TEXT;
ALTER TABLE buzz_number ADD COLUMN match_key TEXT;
CREATE INDEX phone_line ON phone (COALESCE(match_key, e164), person_id, owner_kind, owner_id);

-- Never one line twice, however it is written.
CREATE UNIQUE INDEX buzz_number_line ON buzz_number (COALESCE(match_key, e164));

-- By which state of the table of rules the stored keys were made.
CREATE TABLE match_key_table (
    one SMALLINT PRIMARY KEY CHECK (one = 1),
    digest TEXT NOT NULL
);
INSERT INTO match_key_table (one, digest) VALUES (1, '');
