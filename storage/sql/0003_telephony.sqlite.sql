-- Buzz numbers. The two UNIQUE constraints carry the promise: never two numbers for one person, never two people for
-- one number, whatever races. `id` is the allocation's own, known before a number is (a provider's order carries it).
--   free       in the pool
--   reserved   for a person, while a provider is asked for a number; the lease ends at until_ms
--   allocated  a person's
--   resting    released; free again at until_ms
CREATE TABLE buzz_number (
    id TEXT PRIMARY KEY,
    e164 TEXT UNIQUE,
    state TEXT NOT NULL,
    person_id INTEGER UNIQUE,
    provider_id TEXT,
    until_ms INTEGER,
    changed_at_ms INTEGER NOT NULL,
    CHECK (state IN ('free', 'reserved', 'allocated', 'resting')),
    CHECK ((state IN ('reserved', 'allocated')) = (person_id IS NOT NULL)),
    CHECK ((state IN ('reserved', 'resting')) = (until_ms IS NOT NULL)),
    CHECK ((state = 'reserved') = (e164 IS NULL))
);
CREATE INDEX buzz_number_state ON buzz_number (state, e164);

-- Calls that did not ring. Ids come from blocked_call_head: whoever stores calls holds its row to the commit, so that
-- what others have stored is seen whole before a call is taken for a new one.
CREATE TABLE blocked_call (
    id INTEGER PRIMARY KEY,
    person_id INTEGER NOT NULL,
    caller_id TEXT NOT NULL,
    country_code TEXT NOT NULL,
    phone_number TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL
);
-- Ends in the row's id.
CREATE INDEX blocked_call_person ON blocked_call (person_id);
CREATE TABLE blocked_call_head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    id INTEGER NOT NULL
);
INSERT INTO blocked_call_head (one, id) VALUES (1, 0);

-- What a call's request was known by: digests of Twilio's idempotency token, of the CallSid, of the pair of numbers.
-- A key seen again less than window_ms after at_ms is a repeat.
CREATE TABLE call_seen (
    key TEXT PRIMARY KEY,
    person_id INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    window_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX call_seen_at ON call_seen (at_ms);
