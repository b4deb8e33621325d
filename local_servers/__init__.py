"""PostgreSQL and Valkey of this machine's own, started from Python wheels: for the tests and the bench."""
