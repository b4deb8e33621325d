-- Web forms whose trap was filled in: a field that people do not see. They are kept and answered like any other, marked.
ALTER TABLE web_form_session ADD COLUMN suspected_spam BOOLEAN NOT NULL DEFAULT FALSE;
