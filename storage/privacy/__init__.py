"""Privacy requests: their sessions, recordings, deadlines and retention, and what Twilio holds of them."""
