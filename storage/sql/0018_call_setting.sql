-- What a person asks of calls beyond the operator's setting. attestation: as BUZZ_ATTESTATION.
CREATE TABLE call_setting (
    person_id BIGINT PRIMARY KEY,
    attestation TEXT NOT NULL
);
