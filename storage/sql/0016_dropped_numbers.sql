-- How many numbers of a contact nobody could call: imports leave them out, and the doctor counts them.
ALTER TABLE contact ADD COLUMN dropped_numbers INTEGER NOT NULL DEFAULT 0;
CREATE INDEX contact_dropped ON contact (id) WHERE dropped_numbers > 0;
