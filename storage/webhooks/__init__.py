"""Webhooks: endpoints, sources, and the queue and log of deliveries."""
