-- What a device says about its key (base64, opaque to the server): its own signature, or that of the device that linked it.
ALTER TABLE public_key ADD COLUMN statement TEXT;

-- A device's name, as its person gave it; the program that it runs (hello's client); when it was first seen; and the
-- token that it used last, which is revoked when the device is signed out.
ALTER TABLE device ADD COLUMN name TEXT;
ALTER TABLE device ADD COLUMN client TEXT;
ALTER TABLE device ADD COLUMN added_at_ms BIGINT;
ALTER TABLE device ADD COLUMN token_id TEXT;

-- With a device_id, a person's revocation is about the tokens that this device uses and that were issued until then.
ALTER TABLE revocation ADD COLUMN device_id TEXT;

-- People who neither send nor get receipts ("delivered").
CREATE TABLE receipts_off (
    person_id BIGINT PRIMARY KEY
);
