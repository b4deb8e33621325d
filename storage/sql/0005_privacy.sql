-- Privacy requests: what consumers ask of companies, as it stands now, and who changed what. Times are milliseconds
-- since 1970.
CREATE TABLE service_code (
    code TEXT PRIMARY KEY,
    company_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    updated_at_ms BIGINT NOT NULL,
    -- A deleted code takes no new requests; those it took still show its name.
    deleted_at_ms BIGINT
);
CREATE INDEX service_code_company ON service_code (company_id);

CREATE TABLE privacy_request (
    id TEXT PRIMARY KEY,
    company_id BIGINT NOT NULL,
    type TEXT NOT NULL,
    acknowledged BOOLEAN NOT NULL,
    extended BOOLEAN NOT NULL,
    completed BOOLEAN NOT NULL,
    -- One more with every change: the audit trail's number.
    revision BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    updated_at_ms BIGINT NOT NULL,
    erased_at_ms BIGINT,
    -- As it was when the request came in; for requests taken in here the code's present name is shown instead.
    service_code TEXT NOT NULL,
    service_code_name TEXT NOT NULL,
    service_code_created_at_ms BIGINT NOT NULL,
    service_code_updated_at_ms BIGINT NOT NULL,
    -- The other service that sent it (null: taken in here), the newest signature time seen from there, and the three
    -- flags as it last sent them (1 acknowledged, 2 extended, 4 completed).
    source_id BIGINT,
    source_signed_at_ms BIGINT NOT NULL,
    source_flags INTEGER NOT NULL
);
CREATE INDEX privacy_request_company ON privacy_request (company_id, updated_at_ms, id);

CREATE TABLE web_form_session (
    request_id TEXT PRIMARY KEY REFERENCES privacy_request (id),
    id TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    first_name TEXT NOT NULL,
    last_name TEXT NOT NULL,
    email TEXT NOT NULL,
    state TEXT NOT NULL,
    requester_type TEXT NOT NULL,
    tell_me BOOLEAN NOT NULL,
    delete_me BOOLEAN NOT NULL,
    do_not_sell BOOLEAN NOT NULL,
    send_me BOOLEAN NOT NULL,
    other TEXT NOT NULL,
    remote_ip TEXT NOT NULL
);
CREATE TABLE call_session (
    request_id TEXT PRIMARY KEY REFERENCES privacy_request (id),
    -- Twilio's name for the call; null for calls that another service took. One call makes one request.
    call_sid TEXT UNIQUE,
    created_at_ms BIGINT NOT NULL,
    ended_at_ms BIGINT,
    caller_id TEXT NOT NULL,
    caller_name TEXT NOT NULL,
    caller_state TEXT NOT NULL,
    recording_status TEXT NOT NULL,
    transcription_status TEXT NOT NULL,
    transcription_text TEXT NOT NULL
);

CREATE TABLE recording (
    request_id TEXT PRIMARY KEY REFERENCES privacy_request (id),
    mp3 BYTEA NOT NULL,
    stored_at_ms BIGINT NOT NULL
);

-- Recordings that Twilio holds and that are still to be fetched: leased to one node at a time.
CREATE TABLE recording_fetch (
    request_id TEXT PRIMARY KEY REFERENCES privacy_request (id),
    recording_sid TEXT NOT NULL,
    failures INTEGER NOT NULL,
    due_at_ms BIGINT NOT NULL,
    lease TEXT,
    lease_until_ms BIGINT NOT NULL
);
CREATE INDEX recording_fetch_due ON recording_fetch (due_at_ms);

-- Who did what to a request, and when. Holds no personal data of the consumer; never changed, never erased.
CREATE TABLE privacy_audit (
    request_id TEXT NOT NULL REFERENCES privacy_request (id),
    revision BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (request_id, revision)
);
