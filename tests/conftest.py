"""Fixtures that every kind of test shares."""

import logging
import os
import sys
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.servers.fixtures import (
    bus_namespace,
    empty_postgres_url,
    postgres_server,
    postgres_url,
    valkey_server,
)

__all__ = ["bus_namespace", "empty_postgres_url", "postgres_server", "postgres_url", "valkey_server"]


# Tests start the server hundreds of times; without stored bytecode each start compiles the source, a third of its time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# How fast data is made, and an example runs, is the machine's affair and its neighbours'.
settings.register_profile("buzz", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("buzz")

# As in the product: a traceback that rich draws, with every frame's variables, takes half a second.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--every-backend",
        action="store_true",
        help="run end-to-end tests on SQLite, PostgreSQL and two nodes, and contract tests behind PgBouncer as well",
    )


@pytest.fixture(autouse=True)
def quiet_log() -> Iterator[None]:
    """The log has one level for the process, which a node in it can be told: no test hears what one before it set."""
    root = logging.getLogger()
    root.setLevel(logging.WARNING)
    yield
    root.setLevel(logging.WARNING)
