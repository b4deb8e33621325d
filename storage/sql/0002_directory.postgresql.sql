-- The directory: people, companies, members, contacts and trust, mirrored from the operator's main system.
-- Rows are keyed by the operator's own ids. There are no foreign keys: an import may name things in any order, and says
-- which line refers to something that does not exist, which a constraint could not.
-- The five *_at_ms of a person are the heartbeat's: when each list that their app mirrors last changed.
CREATE TABLE person (
    id BIGINT PRIMARY KEY,
    first_name TEXT NOT NULL,
    middle_name TEXT,
    last_name TEXT,
    avatar TEXT,
    contact_update_at_ms BIGINT,
    trust_request_at_ms BIGINT,
    company_update_at_ms BIGINT,
    coworker_update_at_ms BIGINT,
    user_update_at_ms BIGINT
);

CREATE TABLE company (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL,
    avatar TEXT
);

CREATE TABLE member (
    company_id BIGINT NOT NULL,
    person_id BIGINT NOT NULL,
    PRIMARY KEY (company_id, person_id)
);
CREATE INDEX member_person ON member (person_id);

-- Somebody in a person's address book; trusted: their calls ring.
CREATE TABLE contact (
    id BIGINT PRIMARY KEY,
    person_id BIGINT NOT NULL,
    first_name TEXT,
    middle_name TEXT,
    last_name TEXT,
    avatar TEXT,
    trusted BOOLEAN NOT NULL
);
CREATE INDEX contact_person ON contact (person_id);

CREATE TABLE trusted_company (
    person_id BIGINT NOT NULL,
    company_id BIGINT NOT NULL,
    PRIMARY KEY (person_id, company_id)
);
CREATE INDEX trusted_company_company ON trusted_company (company_id);

-- Somebody (a party key: +id a person, -id a company) asks a person to be trusted.
CREATE TABLE trust_request (
    id BIGINT PRIMARY KEY,
    person_id BIGINT NOT NULL,
    from_party BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL
);
CREATE INDEX trust_request_person ON trust_request (person_id);
CREATE INDEX trust_request_from ON trust_request (from_party);

-- The numbers that somebody calls from, in E.164. owner_kind: 'person', 'company' or 'contact'. person_id: whose
-- contact it is, 0 for the other two: a number that is in thousands of address books must not make a look-up slow.
CREATE TABLE phone (
    e164 TEXT NOT NULL,
    owner_kind TEXT NOT NULL,
    owner_id BIGINT NOT NULL,
    person_id BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (e164, person_id, owner_kind, owner_id)
);
CREATE INDEX phone_owner ON phone (owner_kind, owner_id);
