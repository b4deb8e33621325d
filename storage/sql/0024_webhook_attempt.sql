-- Every attempt of a delivery: what was sent and what came back. number: the delivery's count of attempts at that time.
-- payload: the event as JSON, without signature and recording; it and the answer are emptied when the request is erased.
CREATE TABLE webhook_attempt (
    delivery_id BIGINT NOT NULL,
    number INTEGER NOT NULL,
    at_ms BIGINT NOT NULL,
    http_status INTEGER,
    duration_ms BIGINT NOT NULL,
    error TEXT NOT NULL,
    answer TEXT NOT NULL,
    payload TEXT NOT NULL,
    PRIMARY KEY (delivery_id, number)
);
CREATE INDEX webhook_attempt_age ON webhook_attempt (at_ms);
