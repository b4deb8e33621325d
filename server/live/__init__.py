"""The live path: the log's group commit, the hub, the session."""
