"""Authentication: tokens, keys, revocations, and Twilio's signature."""
