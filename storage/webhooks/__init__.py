"""Webhooks: endpoints, sources, and the deliveries that are queued and made."""
