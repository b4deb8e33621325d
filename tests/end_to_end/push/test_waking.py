"""Who is woken, by what and when: over a real push service's interface, on one node and on two."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from tests.fakes.push_service import PushService, push_service
from tests.harness.backend import SQLITE, rows, write
from tests.harness.peer import chat
from tests.harness.people import ACME, BOB, CAROL, DAVE, JANE
from tests.harness.world import World


@pytest.fixture
async def service() -> AsyncIterator[PushService]:
    async with push_service() as opened:
        yield opened


def read(reader: int, other: int, message_id: str) -> dict[str, Any]:
    return {**chat(reader, other, message_id=message_id), "type": "chat_read_indicator", "message": None}


def reaction(sender: int, other: int, message_id: str) -> dict[str, Any]:
    return {**chat(sender, other, message_id=message_id), "type": "chat_reaction_emoji"}


async def register(world: World, service: PushService, person: int, device: str, **more: Any) -> None:
    """Leave an address for a device; the service knows it by the device's name."""
    body = service.subscribe(device).registration(device, **more)
    answer = await world.http(person)("PUT", "/apps/buzz/push", json=body)
    assert answer.status == 200, answer.text


async def registered(world: World, person: int) -> list[dict[str, Any]]:
    answer = await world.http(person).get("/apps/buzz/push")
    assert answer.status == 200
    found: list[dict[str, Any]] = answer.json
    return found


async def accepted(world: World, person: int, device: str) -> dict[str, Any]:
    """Wait until the device's push has been stored as accepted."""
    async with asyncio.timeout(20):
        while True:
            for each in await registered(world, person):
                if each["device_id"] == device and each["pushed_at"] is not None:
                    return each


async def test_a_device_without_a_session_is_woken_and_a_sender_is_not(world: World, service: PushService) -> None:
    await register(world, service, BOB, "bobs-phone")
    await register(world, service, JANE, "janes-phone")
    jane = await world.join(JANE)
    await jane.post(chat(JANE, BOB))
    await service.until(lambda s: s.counts()["bobs-phone"] == 1, 3)
    [push] = service.received
    assert (push.name, push.said) == ("bobs-phone", {"v": 1, "wake": "message"})
    assert {push.headers[name] for name in ("Topic", "Urgency")} == {"buzz-message", "normal"}
    shown = await accepted(world, BOB, "bobs-phone")
    assert (shown["last_result"], shown["address"][-5:]) == ("accepted", "…hone")


async def test_one_push_is_unanswered_at_a_time_and_a_confirmation_ends_it(world: World, service: PushService) -> None:
    await register(world, service, BOB, "phone")
    jane = await world.join(JANE)
    first = (await jane.post(chat(JANE, BOB)))["id"]
    await service.until(lambda s: s.counts()["phone"] == 1)
    await accepted(world, BOB, "phone")
    await jane.post(chat(JANE, BOB))
    await register(world, service, BOB, "marker")
    last = (await jane.post(chat(JANE, BOB)))["id"]
    await service.until(lambda s: s.counts()["marker"] == 1)
    assert service.counts()["phone"] == 1
    bob = await world.join(BOB, last=first - 1, device_id="phone")
    await bob.until_ids(last)
    await bob.send("received", id=last)
    await bob.alive()
    await bob.close()
    async with asyncio.timeout(60):
        while (await accepted(world, BOB, "phone"))["answered_at"] is None:
            pass
    await jane.post(chat(JANE, BOB))
    await service.until(lambda s: s.counts()["phone"] == 2)


async def test_a_device_with_a_session_is_pushed_if_it_does_not_confirm(open_: Any, service: PushService) -> None:
    world = await open_(push_confirm_seconds=0.6)
    await register(world, service, BOB, "awake")
    await register(world, service, BOB, "frozen")
    awake = await world.join(BOB, device_id="awake")
    await world.join(BOB, device_id="frozen")
    jane = await world.join(JANE)
    sent = (await jane.post(chat(JANE, BOB)))["id"]
    await awake.until_ids(sent)
    await awake.send("received", id=sent)
    await service.until(lambda s: s.counts()["frozen"] == 1)
    assert service.counts()["awake"] == 0


async def test_a_session_that_ends_unconfirmed_is_pushed_at_once(open_: Any, service: PushService) -> None:
    world = await open_(push_confirm_seconds=600)
    await register(world, service, BOB, "phone")
    phone = await world.join(BOB, device_id="phone")
    jane = await world.join(JANE)
    sent = (await jane.post(chat(JANE, BOB)))["id"]
    await phone.until_ids(sent)
    await asyncio.sleep(1)  # the decision to wait for a confirmation has been made
    assert not service.received
    phone.cut()
    await service.until(lambda s: s.counts()["phone"] == 1, 5)


async def test_what_was_read_on_another_device_wakes_no_more_and_is_taken_away(
    world: World, service: PushService
) -> None:
    await register(world, service, BOB, "phone")
    jane, bob = await world.join(JANE), await world.join(BOB, device_id="desk")
    sent = chat(JANE, BOB)
    id = (await jane.post(sent))["id"]
    await service.until(lambda s: s.counts()["phone"] == 1)
    await accepted(world, BOB, "phone")
    await bob.until_ids(id)
    await bob.post(read(BOB, JANE, sent["message_id"]))
    await service.until(lambda s: s.counts()["phone"] == 2)
    assert [each.headers["Urgency"] for each in service.received] == ["normal", "low"]
    assert len({each.size for each in service.received}) == 1


async def test_reactions_wake_who_wants_them(world: World, service: PushService) -> None:
    await register(world, service, BOB, "phone", wake={"messages": False, "reactions": True})
    await register(world, service, BOB, "tablet")
    bob, jane = await world.join(BOB), await world.join(JANE)
    sent = chat(BOB, JANE)
    await bob.post(sent)
    await jane.post(reaction(JANE, BOB, sent["message_id"]))
    await service.until(lambda s: s.counts()["phone"] == 1)
    await jane.post(chat(JANE, BOB))
    await service.until(lambda s: s.counts()["tablet"] == 1)
    assert service.counts() == {"phone": 1, "tablet": 1}


async def test_a_company_s_members_are_woken_but_not_the_one_who_wrote(world: World, service: PushService) -> None:
    await register(world, service, CAROL, "carols")
    await register(world, service, DAVE, "daves")
    await register(world, service, BOB, "bobs")
    carol = await world.join(CAROL)
    await carol.post({**chat(CAROL, BOB), "sendable_type": "company", "sendable_id": ACME})
    await service.until(lambda s: {"daves", "bobs"} <= set(s.counts()))
    assert service.counts() == {"daves": 1, "bobs": 1}


async def test_what_waits_is_pushed_after_a_restart(open_: Any, service: PushService) -> None:
    world = await open_()
    await register(world, service, BOB, "phone")
    for running in world.nodes:
        running.node.log.on_stored = lambda entries: None  # it dies before it has decided
    jane = await world.join(JANE)
    await jane.post(chat(JANE, BOB))
    for running in world.nodes:
        running.node.push.decider._look_at = 0.0
        running.node.push.decider._news.set()
    await service.until(lambda s: s.counts()["phone"] == 1)


async def test_a_second_push_after_silence_then_none(open_: Any, service: PushService) -> None:
    world = await open_(push_silence_seconds=0.5)
    await register(world, service, BOB, "phone")
    jane = await world.join(JANE)
    await jane.post(chat(JANE, BOB))
    await service.until(lambda s: s.counts()["phone"] == 2)
    await register(world, service, BOB, "marker")
    await jane.post(chat(JANE, BOB))
    await service.until(lambda s: s.counts()["marker"] == 2)
    assert service.counts()["phone"] == 2


async def test_a_registration_that_is_gone_is_deleted(world: World, service: PushService) -> None:
    await register(world, service, BOB, "phone")
    service.answer = lambda name: web.Response(status=410)
    jane = await world.join(JANE)
    await jane.post(chat(JANE, BOB))
    async with asyncio.timeout(60):
        while await registered(world, BOB):
            pass


@pytest.mark.backends(SQLITE)
async def test_a_lost_lease_is_taken_over(world: World, service: PushService) -> None:
    await register(world, service, BOB, "phone")
    await write(world.data_dir, [("UPDATE push_registration SET lease = 'dead', lease_until_ms = 1, attempts = 1", ())])
    jane = await world.join(JANE)
    await jane.post(chat(JANE, BOB))
    await service.until(lambda s: s.counts()["phone"] == 1)
    await accepted(world, BOB, "phone")
    assert rows(world.data_dir, "SELECT lease, attempts, unanswered FROM push_registration") == [(None, 0, 1)]
