-- What is kept for a while only: how it is found, without looking at all that stays.

-- The log of deliveries, of one endpoint or one request; and what may leave it: whoever wants the others asks for them by
-- the partial indexes of step 6.
CREATE INDEX webhook_delivery_endpoint ON webhook_delivery (endpoint_id, id);
CREATE INDEX webhook_delivery_request ON webhook_delivery (request_id, id);
CREATE INDEX webhook_delivery_done ON webhook_delivery (finished_at_ms) WHERE status IN ('delivered', 'cancelled');
-- What failed for an endpoint that is deleted can't be retried by anybody.
UPDATE webhook_delivery SET status = 'cancelled'
WHERE status = 'failed' AND endpoint_id IN (SELECT id FROM webhook_endpoint WHERE deleted_at_ms IS NOT NULL);

-- Requests by their last change: the operator's list, and those that have been kept long enough.
CREATE INDEX privacy_request_changed ON privacy_request (updated_at_ms, id);
CREATE INDEX privacy_request_closed ON privacy_request (updated_at_ms) WHERE completed;
