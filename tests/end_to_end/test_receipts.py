"""Receipts: senders learn what has reached a device of the receiver, live and when they ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.end_to_end.conftest import OpenWorld
from tests.harness.backend import POSTGRESQL, SQLITE
from tests.harness.peer import Peer, chat
from tests.harness.people import ACME, BOB, CAROL, JANE
from tests.harness.world import World


def receipts(peer: Peer) -> list[int]:
    return [event["id"] for event in peer.events("receipt")]


async def conversation(world: World, mine: int, other: int) -> dict[str, Any]:
    found = (await world.http(mine).get("/apps/buzz/conversations")).json
    [one] = [each for each in found if each["party"]["id"] == other]
    shown: dict[str, Any] = one
    return shown


async def settled(read: Callable[[], Any], wanted: Any) -> None:
    async with asyncio.timeout(60):
        while await read() != wanted:
            pass


async def test_the_sender_is_told_once_when_the_first_device_confirms(world: World) -> None:
    jane = await world.join(JANE, device_id="laptop")
    phone, tablet = await world.join(BOB, device_id="phone"), await world.join(BOB, device_id="tablet")
    ids = [(await jane.post(chat(JANE, BOB)))["id"] for _ in range(3)]
    await phone.until_ids(*ids)
    await tablet.until_ids(*ids)
    await phone.send("received", id=ids[1])
    await jane.until(lambda peer: receipts(peer) == [ids[1]])
    assert jane.events("receipt") == [{"by": {"type": "person", "id": BOB}, "id": ids[1]}]
    await tablet.send("received", id=ids[0])  # the first device was further
    await tablet.send("received", id=ids[2])
    await jane.until(lambda peer: receipts(peer) == [ids[1], ids[2]])
    assert receipts(phone) == []


async def test_several_confirmations_of_a_moment_are_one_receipt(world: World) -> None:
    jane = await world.join(JANE)
    phone = await world.join(BOB, device_id="phone")
    ids = [(await jane.post(chat(JANE, BOB)))["id"] for _ in range(20)]
    await phone.until_ids(*ids)
    for id in ids:
        await phone.send("received", id=id)
    await jane.until(lambda peer: ids[-1] in receipts(peer))
    assert len(receipts(jane)) <= 2


async def test_conversations_say_what_was_delivered_and_read(world: World) -> None:
    jane = await world.join(JANE, device_id="laptop")
    phone = await world.join(BOB, device_id="phone")
    first = chat(JANE, BOB)
    ids = [(await jane.post(first))["id"], (await jane.post(chat(JANE, BOB)))["id"]]
    one = await conversation(world, JANE, BOB)
    assert (one["read_id"], one["delivered_id"]) == (0, 0)
    await phone.until_ids(*ids)
    await phone.send("received", id=ids[1])

    async def delivered() -> int:
        return int((await conversation(world, JANE, BOB))["delivered_id"])

    await settled(delivered, ids[1])
    read = {"type": "chat_read_indicator", "message": None, "message_id": first["message_id"]}
    await phone.post({**chat(BOB, JANE), **read})
    assert (await conversation(world, JANE, BOB))["read_id"] == ids[0]
    assert (await conversation(world, BOB, JANE))["read_id"] == 0


@pytest.mark.usual_backends(SQLITE)
async def test_who_turns_receipts_off_sends_and_gets_none(world: World) -> None:
    jane, carol = await world.join(JANE, device_id="laptop"), await world.join(CAROL)
    phone = await world.join(BOB, device_id="phone")
    http = world.http(BOB)
    assert (await http.get("/apps/buzz/receipts")).json == {"enabled": True}
    assert (await http("PUT", "/apps/buzz/receipts", json={"enabled": False})).json == {"enabled": False}
    assert (await http.get("/apps/buzz/receipts")).json == {"enabled": False}
    to_bob = (await jane.post(chat(JANE, BOB)))["id"]
    to_jane = (await phone.post(chat(BOB, JANE)))["id"]
    between = (await carol.post(chat(CAROL, JANE)))["id"]
    await phone.until_ids(to_bob, to_jane)
    await jane.until_ids(to_bob, to_jane, between)
    await phone.send("received", id=to_jane)
    await jane.send("received", id=between)
    await carol.until(lambda peer: receipts(peer) == [between])
    assert (receipts(jane), receipts(phone)) == ([], [])
    assert (await conversation(world, JANE, BOB))["delivered_id"] is None
    assert (await conversation(world, BOB, JANE))["delivered_id"] is None
    for bad in ({}, {"enabled": 1}, {"enabled": None}, {"enabled": True, "more": 1}):
        assert (await http("PUT", "/apps/buzz/receipts", json=bad)).status == 400


@pytest.mark.usual_backends(SQLITE)
async def test_companies_get_receipts_and_send_none(world: World) -> None:
    carol = await world.join(CAROL)
    jane = await world.join(JANE, device_id="laptop")
    to_jane = (await carol.post({**chat(CAROL, JANE), "sendable_type": "company", "sendable_id": ACME}))["id"]
    await jane.until_ids(to_jane)
    await jane.send("received", id=to_jane)
    await carol.until(lambda peer: receipts(peer) == [to_jane])
    assert (await conversation(world, JANE, ACME))["delivered_id"] is None


@pytest.mark.backends(SQLITE, POSTGRESQL)
async def test_messages_that_are_only_in_the_log_are_found_too(open_: OpenWorld) -> None:
    world = await open_(ring_size=2)
    jane = await world.join(JANE)
    ids = [(await jane.post(chat(JANE, BOB)))["id"] for _ in range(10)]
    carol = await world.join(CAROL)
    to_bob = (await carol.post(chat(CAROL, BOB)))["id"]
    for _ in range(5):
        await jane.post(chat(JANE, CAROL))
    phone = await world.connect()
    await phone.hello(world.tokens.person(BOB), device_id="phone", last_activity_id=0)
    await phone.until_ids(*ids, to_bob)
    await phone.send("received", id=to_bob)
    await jane.until(lambda peer: receipts(peer) == [ids[-1]])
    await carol.until(lambda peer: receipts(peer) == [to_bob])


@pytest.mark.usual_backends(SQLITE)
async def test_a_typing_notice_says_how_long_it_lasts(world: World) -> None:
    jane, bob = await world.join(JANE), await world.join(BOB)
    await jane.send("typing", to={"type": "person", "id": BOB})
    [notice] = await bob.until(lambda peer: peer.events("typing"))
    assert notice["expires_in_ms"] == 8_000
