-- In the order in which the registrations are read whose time has come.
CREATE INDEX push_look_at ON push_registration (again_at_ms, person_id, device_id, kind) WHERE again_at_ms IS NOT NULL;
DROP INDEX push_again;
-- Devices that did not wake, for the operators' page.
CREATE INDEX push_unanswered ON push_registration (pushed_at_ms) WHERE pushed_at_ms IS NOT NULL AND answered_at_ms IS NULL;
