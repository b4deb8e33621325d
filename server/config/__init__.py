"""What an operator sets, and what a node writes of itself: settings, the log, the version."""
