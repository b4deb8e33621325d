-- Where a device of a person can be woken, by kind (webpush, apns, apns_voip, fcm). A registration is a cursor over the
-- log: what is due follows from pushed_id, the device's received_id and the person's newest activity.
CREATE TABLE push_registration (
    person_id BIGINT NOT NULL,
    device_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    -- The endpoint's URL or the token: a secret, by which anybody could wake the device.
    address TEXT NOT NULL,
    -- As JSON: the keys of a browser's subscription, or the topic and environment of an app.
    details TEXT NOT NULL,
    wake_messages INTEGER NOT NULL,
    wake_reactions INTEGER NOT NULL,
    wake_calls INTEGER NOT NULL,
    registered_at_ms BIGINT NOT NULL,
    -- The push mark: everything that wakes, up to this activity, is covered by a push that was accepted.
    pushed_id BIGINT NOT NULL,
    pushed_at_ms BIGINT,
    -- What the device had confirmed when it was pushed, how many pushes it has left unanswered since, and when it first
    -- confirmed something after one.
    received_at_push BIGINT NOT NULL,
    unanswered INTEGER NOT NULL,
    answered_at_ms BIGINT,
    -- 1: the person has read on another device what was pushed, and a push has said so.
    cleared INTEGER NOT NULL,
    -- Failures since the last push that was accepted; the activity at which Buzz gave up; attempts with unknown results.
    failures INTEGER NOT NULL,
    given_up_id BIGINT NOT NULL,
    attempts INTEGER NOT NULL,
    last_result TEXT,
    -- When to look at it again without a new activity: a retry, or the end of the wait for an answer.
    again_at_ms BIGINT,
    -- The call that was pushed last.
    call_id TEXT,
    lease TEXT,
    lease_until_ms BIGINT NOT NULL,
    PRIMARY KEY (person_id, device_id, kind)
);
CREATE UNIQUE INDEX push_address ON push_registration (kind, address);
CREATE INDEX push_again ON push_registration (again_at_ms) WHERE again_at_ms IS NOT NULL;
