"""The directory: people and companies, their memberships and trust, their keys and service codes."""
