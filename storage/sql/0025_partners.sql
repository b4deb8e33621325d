-- A party's partners in the order of their keys, page by page.
CREATE INDEX conversation_partners ON conversation (high, low);
DROP INDEX conversation_high;
