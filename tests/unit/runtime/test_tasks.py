"""Background tasks: nobody's end goes unseen (server/runtime/tasks.py)."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from server.runtime.tasks import running, start


async def test_a_started_task_that_fails_is_logged_by_name() -> None:
    async def fail() -> None:
        raise LookupError("no such thing")

    with capture_logs() as log:
        await asyncio.wait([start("worker", fail())])
    assert [(each["event"], each["task"], type(each["exc_info"])) for each in log] == [
        ("task failed", "worker", LookupError)
    ]


async def test_a_started_task_that_ends_or_is_cancelled_says_nothing() -> None:
    with capture_logs() as log:
        ended, cancelled = start("ends", asyncio.sleep(0)), start("waits", asyncio.Event().wait())  # type: ignore[arg-type]
        cancelled.cancel()
        await asyncio.wait([ended, cancelled])
    assert not log


async def test_a_running_task_that_fails_ends_its_block() -> None:
    async def fail() -> None:
        raise LookupError("no such thing")

    with pytest.raises(LookupError):
        async with running("worker", fail()):
            await asyncio.Event().wait()
