"""Telephony: look-ups of callers, call screening, Buzz numbers, tokens for calls."""
