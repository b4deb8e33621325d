-- Webhooks: who is told of a company's privacy requests, what waits to be sent, and who may send to us. Times are
-- milliseconds since 1970.

-- The newest id given for each kind of row here. Whoever takes ids holds the row to commit, so they become visible in
-- order.
CREATE TABLE webhook_counter (
    kind TEXT PRIMARY KEY,
    newest BIGINT NOT NULL
);
INSERT INTO webhook_counter (kind, newest) VALUES ('endpoint', 0);
INSERT INTO webhook_counter (kind, newest) VALUES ('delivery', 0);
INSERT INTO webhook_counter (kind, newest) VALUES ('source', 0);

CREATE TABLE webhook_endpoint (
    id BIGINT PRIMARY KEY,
    company_id BIGINT NOT NULL,
    url TEXT NOT NULL,
    format TEXT NOT NULL,
    enabled BOOLEAN NOT NULL,
    api_key TEXT NOT NULL,
    secret TEXT NOT NULL,
    -- The keys before the last rotation, good until then.
    previous_api_key TEXT,
    previous_secret TEXT,
    previous_until_ms BIGINT,
    created_at_ms BIGINT NOT NULL,
    updated_at_ms BIGINT NOT NULL,
    deleted_at_ms BIGINT
);
CREATE INDEX webhook_endpoint_company ON webhook_endpoint (company_id);

-- A lane is one request's events to one endpoint. They go out one after another, so the lane is what is leased: it
-- exists while something waits, and is due when its oldest waiting delivery is.
CREATE TABLE webhook_lane (
    endpoint_id BIGINT NOT NULL REFERENCES webhook_endpoint (id),
    request_id TEXT NOT NULL,
    due_at_ms BIGINT NOT NULL,
    lease TEXT,
    lease_until_ms BIGINT NOT NULL,
    PRIMARY KEY (endpoint_id, request_id)
);
CREATE INDEX webhook_lane_due ON webhook_lane (endpoint_id, due_at_ms);
CREATE INDEX webhook_lane_next ON webhook_lane (due_at_ms);

-- The queue and the log in one: a delivery stays after it was made. status: pending, delivered, failed, cancelled.
CREATE TABLE webhook_delivery (
    id BIGINT PRIMARY KEY,
    endpoint_id BIGINT NOT NULL REFERENCES webhook_endpoint (id),
    request_id TEXT NOT NULL,
    event_name TEXT NOT NULL,
    with_recording BOOLEAN NOT NULL,
    status TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    next_attempt_at_ms BIGINT,
    created_at_ms BIGINT NOT NULL,
    attempted_at_ms BIGINT,
    finished_at_ms BIGINT,
    http_status INTEGER,
    duration_ms BIGINT,
    answer TEXT NOT NULL,
    error TEXT NOT NULL
);
CREATE INDEX webhook_delivery_lane ON webhook_delivery (endpoint_id, request_id, id) WHERE status = 'pending';
CREATE INDEX webhook_delivery_failed ON webhook_delivery (endpoint_id, id) WHERE status = 'failed';

CREATE TABLE webhook_source (
    id BIGINT PRIMARY KEY,
    company_id BIGINT NOT NULL,
    api_key TEXT NOT NULL,
    -- Set: its events must carry Standard Webhooks headers signed with it as well, which cover the body.
    secret TEXT,
    previous_api_key TEXT,
    previous_secret TEXT,
    previous_until_ms BIGINT,
    created_at_ms BIGINT NOT NULL,
    updated_at_ms BIGINT NOT NULL,
    deleted_at_ms BIGINT
);

-- Random tokens that were seen: the same again is a replay. Forgotten once their timestamps are long out of tolerance.
CREATE TABLE webhook_token (
    source_id BIGINT NOT NULL,
    random_token TEXT NOT NULL,
    seen_at_ms BIGINT NOT NULL,
    PRIMARY KEY (source_id, random_token)
);
CREATE INDEX webhook_token_seen ON webhook_token (seen_at_ms);
