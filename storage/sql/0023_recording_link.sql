-- How an endpoint gets recordings: 'inline', as bytes in one event, or 'link', as a link in each event.
ALTER TABLE webhook_endpoint ADD COLUMN recording TEXT NOT NULL DEFAULT 'inline';
