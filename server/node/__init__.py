"""Builds a node: each file builds and connects one part of it, and `server/app.py` connects the parts."""
