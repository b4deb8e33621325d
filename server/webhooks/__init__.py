"""Sending webhooks: the allowed addresses, how one is sent, and the worker that sends what is due."""
