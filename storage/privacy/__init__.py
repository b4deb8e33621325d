"""Privacy requests: their sessions, recordings, deadlines and retention, and the copies that Twilio holds."""
