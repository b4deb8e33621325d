"""Two people with three devices each, in both subprotocols, and everything they can send each other."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.activity import ActivityType
from tests.harness.backend import POSTGRESQL, SQLITE
from tests.harness.peer import JSON, MSGPACK, Peer, chat
from tests.harness.people import ACME, BOB, CAROL, EVE, JANE
from tests.harness.world import World

DEVICES = (("phone", JSON), ("tablet", MSGPACK), ("laptop", MSGPACK))


async def devices(world: World, person: int, last: int | None = 0) -> list[Peer]:
    return [await world.join(person, codec, last=last, device_id=device) for device, codec in DEVICES]


async def test_every_device_of_both_sees_the_whole_conversation_in_the_same_order(world: World) -> None:
    janes, bobs = await devices(world, JANE), await devices(world, BOB)
    eve = await world.join(EVE, last=0)
    acks = []
    for turn in range(10):
        acks.append(await janes[turn % 3].post(chat(JANE, BOB, f"from Jane {turn}")))
        acks.append(await bobs[turn % 3].post(chat(BOB, JANE, f"from Bob {turn}")))
    ids = [ack["id"] for ack in acks]
    assert ids == list(range(1, 21))
    for device in (*janes, *bobs):
        assert await device.until_ids(*ids) == ids
    first, *others = [device.activities for device in (*janes, *bobs)]
    assert all(other == first for other in others)
    await eve.alive()
    assert eve.activities == []


async def test_an_activity_looks_the_same_in_both_subprotocols_and_over_http(world: World) -> None:
    phone, tablet = await world.join(BOB, JSON), await world.join(BOB, MSGPACK)
    jane = await world.join(JANE)
    message = chat(JANE, BOB, 'every "kind" of \\ character: é, 日本語, 🐝, \x01\x00', call_time=789)
    ack = await jane.post(message)
    for device in (phone, tablet):
        await device.until_ids(ack["id"])
    [over_http] = (await world.http(BOB).get("/apps/buzz/activity/0")).json
    assert phone.activities == tablet.activities == [over_http]
    assert over_http == {
        "id": 1,
        "type": "chat_message",
        "receivable_type": "AppModelsPerson",
        "receivable_id": BOB,
        "sendable_type": "AppModelsPerson",
        "sendable_id": JANE,
        "call_time": 789,
        "message": message["message"],
        "message_id": message["message_id"],
        "created_at": ack["created_at"],
        "sendable": {"id": JANE, "first_name": "Jane", "middle_name": None, "last_name": "Smith"},
        "receivable": {"id": BOB, "first_name": "Bob", "middle_name": None, "last_name": "Smith"},
    }


async def test_what_is_posted_over_http_arrives_live_as_well(world: World, subprotocol: str) -> None:
    bob, jane = await world.join(BOB, subprotocol), await world.join(JANE, subprotocol)
    answer = await world.http(JANE).post(chat(JANE, BOB))
    assert answer.status == 200
    for peer in (bob, jane):
        await peer.until_ids(answer.json["data"]["id"])


async def test_reactions_and_read_marks_go_both_ways(world: World, subprotocol: str) -> None:
    jane, bob = await world.join(JANE, subprotocol), await world.join(BOB, subprotocol)
    message = chat(JANE, BOB)
    first = await jane.post(message)
    read = chat(BOB, JANE, type="chat_read_indicator", message_id=message["message_id"])
    del read["message"]
    second = await bob.post(read)
    third = await bob.post(chat(BOB, JANE, "🐝", type="chat_reaction_emoji", message_id=message["message_id"]))
    assert [first["id"], second["id"], third["id"]] == [1, 2, 3]
    await jane.until_ids(1, 2, 3)
    assert [activity["type"] for activity in jane.activities] == [
        "chat_message", "chat_read_indicator", "chat_reaction_emoji",
    ]  # fmt: skip
    assert {activity["message_id"] for activity in jane.activities} == {message["message_id"]}


@pytest.mark.backends(SQLITE, POSTGRESQL)
@pytest.mark.parametrize("kind", [kind for kind in ActivityType if not kind.is_chat], ids=lambda kind: kind.name)
async def test_calls_are_recorded_by_the_one_they_happened_to(world: World, kind: ActivityType) -> None:
    jane, bob = await world.join(JANE), await world.join(BOB)
    call: dict[str, Any] = {
        "type": kind.name, "sendable_type": "person", "sendable_id": JANE,
        "receivable_type": "person", "receivable_id": BOB,
    }  # fmt: skip
    if kind.is_connected_call:
        call["call_time"] = 0
    author, other = (bob, jane) if kind.author_is_receiver else (jane, bob)
    ack = await author.post(call)
    assert (ack["type"], ack["duplicate"]) == ("ack", False)
    assert (await other.post(call))["code"] == "forbidden"
    await other.until_ids(ack["id"])


async def test_the_seeds_spellings_of_parties_are_all_taken(world: World) -> None:
    jane, carol = await world.join(JANE), await world.join(CAROL)
    for number, (person, company) in enumerate(
        (
            ("person", "company"),
            ("App\\Models\\Person", "App\\Models\\Company"),
            ("AppModelsPerson", "AppModelsCompany"),
        ),
        1,
    ):
        ack = await jane.post(chat(JANE, ACME, sendable_type=person, receivable_type=company))
        assert ack["id"] == number
    await carol.until_ids(1, 2, 3)
    assert {each["receivable_type"] for each in carol.activities} == {"AppModelsCompany"}
    company = {"id": ACME, "name": "Acme", "first_name": "Acme", "middle_name": None, "last_name": None}
    assert carol.activities[0]["receivable"] == company


async def test_a_note_to_oneself_arrives_once(world: World) -> None:
    phone, tablet = await world.join(JANE), await world.join(JANE, MSGPACK)
    await phone.post(chat(JANE, JANE))
    await tablet.until_ids(1)
    await phone.until_ids(1)
    for peer in (phone, tablet):
        await peer.alive()
        assert peer.ids == [1]


async def test_a_hundred_at_once_share_frames_and_keep_their_order(world: World, subprotocol: str) -> None:
    jane, bob = await world.join(JANE, subprotocol), await world.join(BOB, subprotocol)
    for number in range(100):
        await jane.send("send", ref=number, activity=chat(JANE, BOB, str(number)))
    await jane.until(lambda peer: len(peer.of_type("ack")) == 100)
    assert [frame["ref"] for frame in jane.of_type("ack")] == list(range(100))
    await bob.until_ids(*range(1, 101))
    assert [activity["message"] for activity in bob.activities] == [str(number) for number in range(100)]
    assert bob.ids == [frame["id"] for frame in jane.of_type("ack")]


@pytest.mark.usual_backends(SQLITE)
@pytest.mark.parametrize("ref", ["", "r" * 64, 0, -1, -(2**63), 2**63 - 1], ids=repr)
async def test_every_ref_comes_back_as_it_was(world: World, subprotocol: str, ref: str | int) -> None:
    jane = await world.join(JANE, subprotocol)
    await jane.send("send", ref=ref, activity=chat(JANE, BOB))
    await jane.until_frame("ack", ref=ref)
    await jane.send("ping", ref=ref)
    await jane.until_frame("pong", ref=ref)
    await jane.send("send", ref=ref, activity={})
    await jane.until_frame("error", ref=ref)
