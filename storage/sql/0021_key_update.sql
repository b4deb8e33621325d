-- When a public key last changed: one of the person's own, or of somebody they have talked with. For the heartbeat.
ALTER TABLE person ADD COLUMN key_update_at_ms BIGINT;
-- The keys of some people that changed since a moment, in the order of their changes.
CREATE INDEX public_key_revoked ON public_key (person_id, revoked_at_ms) WHERE revoked_at_ms IS NOT NULL;
