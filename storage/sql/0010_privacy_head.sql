-- The time of the newest change to any privacy request. Whoever changes one holds this row to commit, so that times become
-- visible in their order: who has read up to one of them has missed nothing before it, whatever the nodes' clocks say.
CREATE TABLE privacy_head (
    updated_at_ms BIGINT NOT NULL
);
INSERT INTO privacy_head (updated_at_ms) SELECT COALESCE(MAX(updated_at_ms), 0) FROM privacy_request;
