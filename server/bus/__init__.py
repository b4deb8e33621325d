"""Notices between nodes."""
