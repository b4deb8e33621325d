-- How often activities that were stored have been changed since: erased, emptied by age, put right. It is counted in the
-- transaction that does it, so a node that keeps activities in memory sees that they may no longer be what it keeps.
CREATE TABLE log_amendment (
    one SMALLINT PRIMARY KEY CHECK (one = 1),
    version BIGINT NOT NULL
);
INSERT INTO log_amendment (one, version) VALUES (1, 0);
