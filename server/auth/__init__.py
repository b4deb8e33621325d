"""Who is calling: tokens, keys, revocations, and Twilio's signature."""
