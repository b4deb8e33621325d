"""Building a node: each file builds and joins one part of it, and `server/app.py` puts these together."""
