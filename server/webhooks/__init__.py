"""Webhooks on the wire: where they may go, and how one is sent."""
