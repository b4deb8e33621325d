"""One module for each row, or for a few rows with the same set-up. ORDER is the order of the table."""

ORDER = (
    "durable-sends",
    "latency",
    "memory",
    "opens",
    "catch-up",
    "newest",
    "fan-out",
    "look-ups",
    "look-ups-under-load",
    "growth-history",
    "growth-sessions",
    "reconnects",
    "postgresql",
    "two-nodes",
    "nodes",
    "import",
    "start",
    "peer-socketio",
    "peer-python-socketio",
    "peer-synapse",
)
