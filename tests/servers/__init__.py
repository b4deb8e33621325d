"""Real servers for the tests: PostgreSQL and Valkey from their wheels, on free ports, ended with the test run."""
