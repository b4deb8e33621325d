"""Twilio: checking its signed requests, and calling its REST API."""
