-- What Twilio holds of a privacy request: recordings (RE...) and transcriptions (TR...), to be deleted there when the
-- request is erased or deleted here. It outlives the request until that is done.
CREATE TABLE twilio_copy (
    sid TEXT PRIMARY KEY,
    request_id TEXT NOT NULL,
    -- When it is to be deleted, or tried again; null: not yet.
    due_at_ms BIGINT,
    failures INTEGER NOT NULL,
    lease TEXT,
    lease_until_ms BIGINT NOT NULL
);
CREATE INDEX twilio_copy_request ON twilio_copy (request_id);
CREATE INDEX twilio_copy_due ON twilio_copy (due_at_ms) WHERE due_at_ms IS NOT NULL;
INSERT INTO twilio_copy (sid, request_id, due_at_ms, failures, lease, lease_until_ms)
SELECT recording_sid, MIN(request_id), NULL, 0, NULL, 0 FROM recording_fetch GROUP BY recording_sid;
