"""Background tasks: every failure is noticed (server/runtime/tasks.py)."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from server.runtime.tasks import OnDemand, Tasks, running


async def test_a_task_that_fails_is_logged_by_name() -> None:
    async def fail() -> None:
        raise LookupError("no such thing")

    with capture_logs() as log:
        await asyncio.wait([Tasks().start("worker", fail())])
    assert [(each["event"], each["task"], type(each["exc_info"])) for each in log] == [
        ("task failed", "worker", LookupError)
    ]


async def test_a_task_that_ends_or_is_cancelled_says_nothing() -> None:
    with capture_logs() as log:
        tasks = Tasks()
        tasks.start("ends", asyncio.sleep(0))
        waiting = tasks.start("waits", asyncio.Event().wait())  # type: ignore[arg-type]
        assert len(tasks) == 2
        await tasks.cancel()
        assert waiting.cancelled()
        await asyncio.sleep(0)
        assert len(tasks) == 0
    assert not log


async def test_tasks_that_are_given_time_to_end_are_not_cancelled() -> None:
    tasks, done = Tasks(), list[str]()

    async def work() -> None:
        await asyncio.sleep(0)
        done.append("worked")

    task = tasks.start("works", work())
    await tasks.cancel(after_seconds=60)
    assert done == ["worked"]
    assert not task.cancelled()


async def test_work_on_demand_runs_once_at_a_time_and_again_when_woken_after_its_end() -> None:
    waiting, done, most = list[int](), list[int](), list[int]()
    under_way = 0

    async def work() -> None:
        nonlocal under_way
        under_way += 1
        most.append(under_way)
        while waiting:
            await asyncio.sleep(0)
            done.append(waiting.pop())
        under_way -= 1

    worker = OnDemand("worker", work)
    for number in range(4):
        waiting.append(number)
        worker.wake()
    await worker.finish()
    assert sorted(done) == [0, 1, 2, 3]
    waiting.append(4)
    worker.wake()
    await worker.finish()
    assert done[-1] == 4
    assert most == [1, 1], "two tasks, one after the other"


async def test_work_on_demand_that_failed_begins_again() -> None:
    async def fail() -> None:
        raise LookupError("no such thing")

    worker = OnDemand("worker", fail)
    with capture_logs() as log:
        for _ in range(2):
            worker.wake()
            await worker.finish()
            await asyncio.sleep(0)
    assert [each["task"] for each in log] == ["worker", "worker"]


async def test_a_running_task_that_fails_ends_its_block() -> None:
    async def fail() -> None:
        raise LookupError("no such thing")

    with pytest.raises(LookupError):
        async with running("worker", fail()):
            await asyncio.Event().wait()
