-- What each change of the directory made stale in the memory of nodes, written in the transaction of the change. It takes
-- the next version while it holds the counter's row to its commit, so versions become visible in order, and a node that
-- has seen version N asks for what is newer than N alone.
CREATE TABLE directory_counter (
    one SMALLINT PRIMARY KEY CHECK (one = 1),
    version BIGINT NOT NULL
);
INSERT INTO directory_counter (one, version) VALUES (1, 0);

-- names: parties that came, went or are called otherwise. members: people who came, went, or whose companies changed.
-- Both are JSON arrays of keys; NULL stands for everybody. Rows are kept for a minute: a node that did not look for
-- longer finds a gap in the versions, and reads everything again.
CREATE TABLE directory_change (
    version BIGINT PRIMARY KEY,
    changed_at_ms BIGINT NOT NULL,
    names TEXT,
    members TEXT
);
CREATE INDEX directory_change_age ON directory_change (changed_at_ms);
