"""Webhooks on the wire: where they may go, how one is sent, and the worker that sends what is due."""
