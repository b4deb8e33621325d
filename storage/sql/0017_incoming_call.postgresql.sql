-- Every incoming call of a person, whether it rang (`trusted` 1) or not, with what that was decided by: the end of the
-- call uses it, on whichever node it arrives. Ids come from blocked_call_head, as blocked_call's, which the release
-- before still writes.
--   called, call_id, caller
--                    how a call is known again; call_id is Twilio's CallSid or Buzz's own; caller is E.164, or as given
--   reason           why it did not ring
--   reasons          what made the caller trusted: JSON, [[kind, id], …]; certainty: how sure that is
--   recorded_from    the party (a key) whose call the activity is
--   outcome          blocked, ringing (no end is known), missed, connected_insecure, connected_secure
CREATE TABLE incoming_call (
    id BIGINT PRIMARY KEY,
    person_id BIGINT NOT NULL,
    called TEXT NOT NULL,
    call_id TEXT NOT NULL,
    caller TEXT NOT NULL,
    caller_id TEXT NOT NULL,
    country_code TEXT NOT NULL,
    phone_number TEXT NOT NULL,
    verified TEXT NOT NULL,
    trusted SMALLINT NOT NULL,
    reason TEXT,
    reasons TEXT NOT NULL,
    certainty TEXT,
    recorded_from BIGINT,
    outcome TEXT NOT NULL,
    call_time INTEGER,
    created_at_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX incoming_call_known ON incoming_call (called, call_id, caller);
CREATE INDEX incoming_call_person ON incoming_call (person_id, trusted, id);
