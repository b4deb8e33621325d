"""Fixtures that every kind of test shares."""

import pytest
from hypothesis import HealthCheck, settings

from tests.servers.fixtures import (
    bus_namespace,
    empty_postgres_url,
    postgres_server,
    postgres_url,
    valkey_server,
)

__all__ = ["bus_namespace", "empty_postgres_url", "postgres_server", "postgres_url", "valkey_server"]


# How fast data is made, and an example runs, is the machine's affair and its neighbours'.
settings.register_profile("buzz", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("buzz")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--every-backend",
        action="store_true",
        help="run on every backend also the end-to-end tests that otherwise run on SQLite alone, being about frames",
    )
