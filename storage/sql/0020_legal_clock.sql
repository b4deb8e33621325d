-- The day from which a request's deadlines count, in days since 1970: the consumer's own day or the UTC day, whichever is
-- earlier. It follows from created_at_ms and the consumer's state, and is kept so that what is due can be found by it.
ALTER TABLE privacy_request ADD COLUMN received_day BIGINT;
-- Requests that are here already: the day in California's standard time, which is at most a day early for the others.
UPDATE privacy_request SET received_day = (created_at_ms - 28800000) / 86400000;
-- Whether the caller wants the sale of their data to end: null until the company has heard the message and says so.
ALTER TABLE call_session ADD COLUMN do_not_sell BOOLEAN;
