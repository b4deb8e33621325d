"""The same again gets the first answer again, and nothing is stored or pushed twice."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from tests.harness.peer import chat
from tests.harness.people import ACME, BOB, CAROL, EVE, JANE
from tests.harness.world import World


async def test_the_same_message_again_is_the_first_again_over_both_ways(world: World, subprotocol: str) -> None:
    jane, bob = await world.join(JANE, subprotocol), await world.join(BOB, subprotocol)
    message = chat(JANE, BOB, "first")
    first = await jane.post(message)
    again = await jane.post(message | {"message": "encrypted anew"})
    assert (first["duplicate"], again["duplicate"]) == (False, True)
    assert (again["id"], again["created_at"]) == (first["id"], first["created_at"])
    over_http = await world.http(JANE).post(message)
    assert (over_http.status, over_http.headers["Idempotent-Replayed"]) == (200, "true")
    assert over_http.json["data"] == {
        "id": 1, "type": "chat_message", "sendable_type": "person", "sendable_id": JANE, "receivable_type": "person",
        "receivable_id": BOB, "call_time": None, "message": "first", "message_id": message["message_id"],
        "created_at": first["created_at"],
    }  # fmt: skip
    await jane.post(chat(JANE, BOB))
    await bob.until_ids(2)
    assert bob.ids == [1, 2]


async def test_a_uuid_is_the_same_however_it_is_spelt(world: World, subprotocol: str) -> None:
    jane = await world.join(JANE, subprotocol)
    message = chat(JANE, BOB, message_id="ABCDEF00-0000-4000-8000-00000000abcd")
    first = await jane.post(message)
    again = await jane.post(message | {"message_id": message["message_id"].swapcase()})
    assert (again["id"], again["duplicate"]) == (first["id"], True)
    reaction = chat(BOB, JANE, "🐝", type="chat_reaction_emoji", message_id=message["message_id"].lower())
    assert (await world.http(BOB).post(reaction)).status == 200


async def test_the_same_message_id_to_another_party_is_a_conflict(world: World, subprotocol: str) -> None:
    jane = await world.join(JANE, subprotocol)
    message = chat(JANE, BOB)
    await jane.post(message)
    other = message | {"receivable_id": CAROL}
    answer = await jane.post(other)
    assert (answer["type"], answer["code"]) == ("error", "conflict")
    assert (await world.http(JANE).post(other)).status == 422
    await jane.alive()


async def test_two_people_may_use_the_same_uuid_without_noticing(world: World) -> None:
    jane, eve = await world.join(JANE), await world.join(EVE)
    message = chat(JANE, BOB)
    assert (await jane.post(message))["id"] == 1
    ack = await eve.post(message | {"sendable_id": EVE})
    assert (ack["type"], ack["id"], ack["duplicate"]) == ("ack", 2, False)


async def test_an_idempotency_key_works_for_every_type_and_across_both_ways(world: World, subprotocol: str) -> None:
    jane, bob = await world.join(JANE, subprotocol), await world.join(BOB, subprotocol)
    call = chat(JANE, BOB, type="outgoing_call_missed")
    for name in ("message", "message_id"):
        del call[name]
    first = await world.http(JANE).post(call, headers={"Idempotency-Key": "k" * 255})
    assert "Idempotent-Replayed" not in first.headers
    again = await world.http(JANE).post(call, headers={"Idempotency-Key": "k" * 255})
    assert (again.headers["Idempotent-Replayed"], again.body) == ("true", first.body)
    ack = await jane.post(call | {"idempotency_key": "k" * 255})
    assert (ack["id"], ack["duplicate"]) == (1, True)
    assert (await jane.post(call))["id"] == 2, "without a key it is another call"
    await bob.until_ids(1, 2)
    assert bob.ids == [1, 2]


@pytest.mark.parametrize("change", [{"call_time": 1}, {"receivable_id": CAROL}, {"type": "outgoing_call_missed"}])
async def test_the_same_key_with_another_body_is_refused(
    world: World, subprotocol: str, change: dict[str, object]
) -> None:
    jane = await world.join(JANE, subprotocol)
    call = {
        "type": "outgoing_call_connected_secure", "call_time": 0, "sendable_type": "person", "sendable_id": JANE,
        "receivable_type": "person", "receivable_id": BOB,
    }  # fmt: skip
    await jane.post(call | {"idempotency_key": "key"})
    answer = await jane.post(call | change | {"idempotency_key": "key"})
    assert answer["code"] == "conflict"
    over_http = await world.http(JANE).post(call | change, headers={"Idempotency-Key": "key"})
    assert over_http.status == 422
    assert set(over_http.json["error"]) == {"code", "message"}
    assert (await world.http(BOB).post(call | {"sendable_id": BOB, "receivable_id": JANE},
                                       headers={"Idempotency-Key": "key"})).status == 200  # fmt: skip


async def test_the_same_at_the_same_time_is_stored_once(world: World) -> None:
    message = chat(JANE, BOB)
    socket, http = await world.join(JANE), world.http(JANE)
    bob = await world.join(BOB)
    for ref in range(10):
        await socket.send("send", ref=ref, activity=message)
    answers = await asyncio.gather(*(http.post(message) for _ in range(10)))
    await socket.until(lambda peer: len(peer.of_type("ack")) == 10)
    ids = {answer.json["data"]["id"] for answer in answers} | {ack["id"] for ack in socket.of_type("ack")}
    assert ids == {1}
    firsts = sum("Idempotent-Replayed" not in a.headers for a in answers) + sum(
        not ack["duplicate"] for ack in socket.of_type("ack")
    )
    assert firsts == 1
    await bob.until_ids(1)
    await bob.alive()
    assert bob.ids == [1]


async def test_a_repeat_among_others_does_not_spoil_them_and_mixes_up_no_conversations(world: World) -> None:
    """One batch with a repeat in it, and people in it who have never talked before."""
    jane, eve = await world.join(JANE), await world.join(EVE)
    message = chat(JANE, BOB)
    await jane.post(message)
    for ref in range(5):
        await jane.send("send", ref=ref, activity=message)
        await eve.send("send", ref=ref, activity=chat(EVE, CAROL, f"for Carol {ref}"))
    for peer in (jane, eve):
        await peer.until(lambda p: len([a for a in p.of_type("ack") if isinstance(a["ref"], int)]) == 5)
    await jane.post(chat(JANE, ACME, receivable_type="company"))
    for reader, party, count in ((CAROL, f"person:{EVE}", 5), (JANE, f"company:{ACME}", 1), (JANE, f"person:{BOB}", 1)):
        answer = await world.http(reader).get(f"/apps/buzz/activity/0?party={party}")
        assert len(answer.json) == count, (reader, party)


async def test_a_reaction_in_the_same_breath_as_its_message(world: World, subprotocol: str) -> None:
    jane = await world.join(JANE, subprotocol)
    message = chat(JANE, BOB)
    await jane.send("send", ref=1, activity=message)
    await jane.send(
        "send", ref=2, activity=chat(JANE, BOB, "🐝", type="chat_reaction_emoji", message_id=message["message_id"])
    )
    await jane.send(
        "send", ref=3, activity=chat(JANE, BOB, "🐝", type="chat_reaction_emoji", message_id=str(uuid.uuid4()))
    )
    assert (await jane.until_frame("ack", ref=2))["id"] == 2
    assert (await jane.until_frame("error", ref=3))["code"] == "not_found"


async def test_a_reaction_is_about_a_message_between_the_same_two(world: World) -> None:
    jane, eve = await world.join(JANE), await world.join(EVE)
    message = chat(JANE, BOB)
    await jane.post(message)
    elsewhere = chat(EVE, BOB, "🐝", type="chat_reaction_emoji", message_id=message["message_id"])
    assert (await eve.post(elsewhere))["code"] == "not_found"
    assert (await world.http(EVE).post(elsewhere)).status == 404
