"""Calls wake at once: from Twilio's request to the push, on one node and on two."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import perf_counter
from typing import Any

import pytest

from server.push import calls
from tests.fakes.push_service import PushService, push_service
from tests.harness.backend import SQLITE
from tests.harness.people import BOB, JANE
from tests.harness.waiting import until
from tests.harness.world import World

NUMBER, CALLER, STRANGER = "+12385551629", "+12025550123", "+12025550199"


@pytest.fixture
async def service() -> AsyncIterator[PushService]:
    async with push_service() as opened:
        yield opened


@pytest.fixture
async def world(world: World) -> World:
    """Bob has a Buzz number, and trusts one caller."""
    statements: list[tuple[str, tuple[Any, ...]]] = [
        (
            "INSERT INTO buzz_number (id, e164, state, person_id, changed_at_ms) VALUES (?, ?, ?, ?, ?)",
            ("n1", NUMBER, "allocated", BOB, 1),
        ),
        ("INSERT INTO contact (id, person_id, first_name, trusted) VALUES (?, ?, ?, TRUE)", (5, BOB, "Ann")),
        (
            "INSERT INTO phone (e164, owner_kind, owner_id, person_id) VALUES (?, ?, ?, ?)",
            (CALLER, "contact", 5, BOB),
        ),
    ]
    async with world.node.database.transaction() as transaction:
        for sql, values in statements:
            await transaction.execute(sql, *values)
    return world


async def register(world: World, service: PushService, person: int, device: str, **wake: bool) -> None:
    body = service.subscribe(device).registration(device, wake=wake)
    answer = await world.http(person)("PUT", "/apps/buzz/push", json=body)
    assert answer.status == 200, answer.text


async def look_up(world: World, caller: str, token: str) -> bool:
    query = f"number_code=1&number={NUMBER[2:]}&inbound_code=1&inbound={caller[2:]}"
    answer = await world.http(token=world.tokens.service("lookup")).get(
        f"/apps/buzz/trust-lookup?{query}", headers={"I-Twilio-Idempotency-Token": token}
    )
    assert answer.status == 200
    return bool(answer.json["trusted"])


async def test_a_trusted_call_wakes_all_devices_and_a_blocked_one_none(world: World, service: PushService) -> None:
    await register(world, service, BOB, "phone")
    await register(world, service, BOB, "awake")
    await register(world, service, BOB, "quiet", calls=False)
    await register(world, service, JANE, "janes")
    await world.join(BOB, device_id="awake")
    assert not await look_up(world, STRANGER, "blocked-call")
    started = perf_counter()
    assert await look_up(world, CALLER, "trusted-call")
    await service.until(lambda s: len(s.received) == 2)
    assert perf_counter() - started < 2
    assert service.counts() == {"phone": 1, "awake": 1}
    for push in service.received:
        assert (push.said["wake"], push.headers["Urgency"], push.headers["TTL"]) == ("call", "high", "30")
        assert push.headers["Topic"] == "buzz-call"


async def test_a_call_is_pushed_once_however_often_and_wherever_twilio_asks(world: World, service: PushService) -> None:
    await register(world, service, BOB, "phone")
    answers = [await look_up(world, CALLER, "one-call") for _ in range(4)]
    await asyncio.gather(*(look_up(world, CALLER, "another") for _ in range(4)))
    assert answers == [True] * 4
    await service.until(lambda s: s.counts()["phone"] == 2)
    await until(lambda: not any(len(running.node.push.urgent._tasks) for running in world.nodes))
    assert service.counts() == {"phone": 2}


@pytest.mark.backends(SQLITE)
async def test_a_call_goes_before_every_message_that_waits(world: World, service: PushService) -> None:
    await register(world, service, BOB, "phone")
    dispatcher = world.node.push.dispatcher
    dispatcher._slots.free = lambda key: 0  # type: ignore[method-assign]  # all slots of messages are taken
    assert await look_up(world, CALLER, "a-call")
    await service.until(lambda s: s.said("phone") == ["call"], 3)


@pytest.mark.backends(SQLITE)
async def test_calls_are_pushed_up_to_a_limit(
    world: World, service: PushService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "MAX_RINGING", 0)
    await register(world, service, BOB, "phone")
    assert await look_up(world, CALLER, "too-many")
    assert not len(world.node.push.urgent._tasks)
    monkeypatch.undo()
    assert await look_up(world, CALLER, "next")
    await service.until(lambda s: s.counts()["phone"] == 1)
