"""A certificate for the proxies' tests, and the loop that a module's tests share with its nodes."""

from __future__ import annotations

import ssl

import pytest
import trustme

pytest.register_assert_rewrite("tests.end_to_end.deploy.behaviours", "tests.end_to_end.deploy.shipped")

from tests.end_to_end.deploy.shipped import Certificate  # noqa: E402 - its asserts are rewritten first
from tests.end_to_end.deploy.site import certificate  # noqa: E402


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """What clients trust."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture(scope="session")
def issued(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate(authority, tmp_path_factory.mktemp("certificate"))
