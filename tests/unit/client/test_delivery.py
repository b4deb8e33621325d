"""Back-pressure, and what happens when it must not last."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from buzz_client import Activity, ClientClosed
from buzz_client.delivery import Delivery
from buzz_client.inbox import Inbox
from tests.harness.client_activities import activities


class World:
    """A log by HTTP, and a consumer's view of it."""

    def __init__(self, patience_seconds: float = 60.0) -> None:
        self.inbox = Inbox(limit=2)
        self.inbox.begin("e", 0)
        self.log: list[Activity] = activities(*range(1, 11))
        self.pages: list[int] = []
        self.resyncs = 0
        self.awaited = False
        self.delivery = Delivery(self.inbox, self.page, self.resync, lambda: self.awaited, patience_seconds)

    async def page(self, after: int) -> Sequence[Activity]:
        self.pages.append(after)
        return [activity for activity in self.log if activity.id > after][:3]

    async def resync(self) -> None:
        self.resyncs += 1
        self.inbox.follow_new_source()

    async def next_ids(self, count: int) -> list[int]:
        return [(await self.delivery.next()).id for _ in range(count)]


async def test_the_reader_waits_for_a_slow_consumer() -> None:
    world = World()
    await world.delivery.accept(activities(1, 2))
    reader = asyncio.create_task(world.delivery.accept(activities(3)))
    await asyncio.sleep(0)
    assert not reader.done()
    assert await world.next_ids(1) == [1]
    await reader
    assert await world.next_ids(2) == [2, 3]
    assert world.pages == []


async def test_the_reader_goes_on_when_an_answer_is_awaited() -> None:
    world = World()
    await world.delivery.accept(activities(1, 2))
    reader = asyncio.create_task(world.delivery.accept(activities(3)))
    await asyncio.sleep(0)
    world.awaited = True
    world.delivery.wake_reader()
    await reader
    await world.delivery.accept(activities(4, 5))
    assert await world.next_ids(5) == [1, 2, 3, 4, 5]
    assert world.pages == [2]
    await world.delivery.accept(activities(4, 5, 6))
    assert await world.next_ids(1) == [6]


async def test_the_reader_goes_on_when_nothing_moves() -> None:
    world = World(patience_seconds=0.01)
    await world.delivery.accept(activities(1, 2))
    await world.delivery.accept(activities(3))
    assert world.inbox.behind


async def test_without_a_page_a_new_session_fills_the_hole() -> None:
    world = World(patience_seconds=0.01)
    world.log = []
    await world.delivery.accept(activities(1, 2))
    await world.delivery.accept(activities(3))
    assert await world.next_ids(2) == [1, 2]
    consumer = asyncio.create_task(world.next_ids(1))
    await asyncio.sleep(0)
    await world.delivery.accept(activities(3))
    assert await consumer == [3]
    assert world.resyncs == 1


async def test_what_waited_in_an_older_history_is_not_taken_into_the_new() -> None:
    world = World()
    await world.delivery.accept(activities(1, 2))
    reader = asyncio.create_task(world.delivery.accept(activities(3)))
    await asyncio.sleep(0)
    world.inbox.begin("another", 0)
    world.delivery.wake_reader()
    await reader
    assert world.inbox.empty


async def test_at_the_end_the_rest_comes_first_and_then_the_reason() -> None:
    world = World()
    await world.delivery.accept(activities(1, 2))
    world.delivery.end(ClientClosed("over"))
    assert await world.next_ids(2) == [1, 2]
    with pytest.raises(ClientClosed, match="over"):
        await world.delivery.next()
