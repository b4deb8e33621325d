"""The privacy tests' template of a data directory, and a certificate authority of our own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from tests.fakes.privacy_buzz import Clock, make_template
from tests.fakes.twilio import Twilio


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("privacy"))


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def twilio() -> AsyncIterator[Twilio]:
    made = await Twilio().start()
    yield made
    await made.close()
