"""Fixtures that every kind of test shares."""

import pytest

from tests.servers.fixtures import (
    bus_namespace,
    empty_postgres_url,
    postgres_server,
    postgres_url,
    valkey_server,
)

__all__ = ["bus_namespace", "empty_postgres_url", "postgres_server", "postgres_url", "valkey_server"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--every-backend",
        action="store_true",
        help="run on every backend also the end-to-end tests that otherwise run on SQLite alone, being about frames",
    )
