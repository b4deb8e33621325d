"""Fixtures that every kind of test shares."""

from tests.servers.fixtures import (
    bus_namespace,
    empty_postgres_url,
    postgres_server,
    postgres_url,
    valkey_server,
)

__all__ = ["bus_namespace", "empty_postgres_url", "postgres_server", "postgres_url", "valkey_server"]
