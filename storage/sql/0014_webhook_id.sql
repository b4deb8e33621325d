-- What names a delivery to its receiver (the header webhook-id). Those that an older release queued have none: their
-- receivers may have had them already, as msg_ and the delivery's id.
ALTER TABLE webhook_delivery ADD COLUMN webhook_id TEXT;
