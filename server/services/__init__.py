"""The services, one per subject, that the routes and the socket call. They contain the rules."""
