-- Texts by their age: what retention may empty is found at once, whatever the order of the times in the log (a clock may
-- have been fast or set back), and costs nothing to find again once it is empty.
CREATE INDEX activity_age ON activity (created_at_ms) WHERE message IS NOT NULL;
