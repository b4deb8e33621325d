"""One node with two companies, and receivers for their webhooks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.privacy_buzz import Buzz, Clock, make_template, open_buzz
from tests.fakes.webhook_receiver import Receiver
from tests.harness.people import copy_directory
from tests.harness.watch import Watch, watched


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("privacy"))


@pytest.fixture
def data_dir(template: Path, tmp_path: Path) -> Path:
    return copy_directory(template, tmp_path / "data")


@pytest.fixture
async def watch() -> AsyncIterator[Watch]:
    async with watched() as opened:
        yield opened


@pytest.fixture
async def buzz(watch: Watch, data_dir: Path, clock: Clock) -> AsyncIterator[Buzz]:
    async with open_buzz(data_dir, clock) as opened:
        yield opened


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = await Receiver().start()
    yield made
    await made.close()
