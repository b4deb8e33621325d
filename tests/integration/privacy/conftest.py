"""One node with two companies, and receivers for their webhooks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.privacy_buzz import Buzz, Clock, open_buzz
from tests.fakes.webhook_receiver import Receiver


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def buzz(tmp_path: Path, clock: Clock) -> AsyncIterator[Buzz]:
    async with open_buzz(tmp_path, clock, webhook_timeout_seconds=0.5, privacy_forms_per_minute=1_000) as opened:
        await opened.service_code()
        yield opened


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = await Receiver().start()
    yield made
    await made.close()
