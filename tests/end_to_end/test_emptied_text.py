"""After the text is gone, by age or with its sender: what a repeat gets, and what still counts as unread."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from protocol.directory import Kind
from server.runtime.clock import wall_clock_ms
from server.services.retention import Retention
from tests.harness.peer import WAIT_SECONDS, chat
from tests.harness.people import ACME, BOB, CAROL, JANE
from tests.harness.world import World

YEAR_MS = 366 * 86_400_000


async def age(world: World) -> int:
    """A year goes by for the retention of 30 days; how many texts that emptied."""
    return await Retention(world.node.store, world.node.hub, 30, lambda: wall_clock_ms() + YEAR_MS).sweep()


async def unread(world: World, person: int) -> dict[str, int]:
    found = (await world.http(person).get("/apps/buzz/conversations")).json
    return {f"{row['party']['type']}:{row['party']['id']}": row["unread"] for row in found}


def about(message: dict[str, Any], kind: str = "chat_read_indicator") -> dict[str, Any]:
    """The receiver's read mark of, or reaction to, a message."""
    answer = chat(message["receivable_id"], message["sendable_id"], "🐝", type=kind, message_id=message["message_id"])
    answer |= {"sendable_type": message["receivable_type"], "receivable_type": message["sendable_type"]}
    if kind == "chat_read_indicator":
        del answer["message"]
    return answer


async def test_a_repeat_of_an_aged_out_message_is_answered_as_one_and_pushed_to_nobody(
    world: World, subprotocol: str
) -> None:
    jane, bob = await world.join(JANE, subprotocol), await world.join(BOB, subprotocol)
    message = chat(JANE, BOB, "first")
    first = await jane.post(message | {"idempotency_key": "key"})
    assert await age(world) == 1
    again = await jane.post(message)
    assert (again["type"], again["id"], again["created_at"], again["duplicate"]) == (
        "ack", first["id"], first["created_at"], True,
    )  # fmt: skip
    for headers in ({}, {"Idempotency-Key": "key"}):
        over_http = await world.http(JANE).post(message, headers=headers)
        assert (over_http.status, over_http.headers["Idempotent-Replayed"]) == (200, "true")
        data = over_http.json["data"]
        assert (data["id"], data["message"], data["message_id"]) == (first["id"], None, message["message_id"])
    assert (await jane.post(message | {"receivable_id": CAROL}))["code"] == "conflict"
    await jane.post(chat(JANE, BOB))
    await bob.until_ids(2)
    assert bob.ids == [1, 2]


@pytest.mark.parametrize("kind", ["chat_read_indicator", "chat_reaction_emoji"])
async def test_a_message_whose_text_was_emptied_takes_read_marks_and_reactions(
    world: World, subprotocol: str, kind: str
) -> None:
    message = chat(JANE, BOB)
    await (await world.join(JANE, subprotocol)).post(message)
    await age(world)
    assert (await (await world.join(BOB, subprotocol)).post(about(message, kind)))["type"] == "ack"
    assert (await world.http(BOB).post(about(message, kind))).status == 200


async def test_what_was_emptied_by_age_is_not_unread_and_what_came_after_is(world: World) -> None:
    await world.http(JANE).post(chat(JANE, BOB))
    await age(world)
    assert await unread(world, BOB) == {f"person:{JANE}": 0}
    late = chat(JANE, BOB)
    await world.http(JANE).post(late)
    assert await unread(world, BOB) == {f"person:{JANE}": 1}
    assert (await world.http(BOB).post(about(late))).status == 200
    assert await unread(world, BOB) == {f"person:{JANE}": 0}


async def test_an_erased_sender_leaves_nothing_unread(world: World) -> None:
    jane = await world.join(JANE)
    await jane.post(chat(JANE, BOB))
    await jane.post(chat(JANE, ACME, receivable_type="company"))
    admin = world.http(token=world.tokens.service("admin"))
    assert (await admin("POST", "/admin/erasures", json={"person_id": JANE})).status == 200
    assert await unread(world, BOB) == await unread(world, CAROL) == {f"person:{JANE}": 0}
    [row] = (await world.http(BOB).get("/apps/buzz/conversations")).json
    assert (row["last_activity"]["id"], row["last_activity"]["message"], row["party"]["first_name"]) == (1, None, None)


async def test_after_erasure_the_person_can_be_there_again_and_repeats_nothing(world: World) -> None:
    """Their ids are forgotten: with the same id in the directory again, a repeat is a message like any other."""
    message = chat(JANE, BOB)
    await world.http(JANE).post(message)
    admin = world.http(token=world.tokens.service("admin"))
    assert (await admin("POST", "/admin/erasures", json={"person_id": JANE})).status == 200
    async with asyncio.timeout(WAIT_SECONDS):  # every node, each of which is asked in turn
        refused = 0
        while refused < len(world.nodes):
            known = (await world.http(JANE).get("/apps/buzz/heartbeat")).status != 200
            refused = refused + 1 if known else 0
    assert (await world.http(JANE).post(message)).status in (401, 403, 404)
    [row] = (await world.http(BOB).get("/apps/buzz/activity/0")).json
    assert (row["id"], row["message"], row["message_id"]) == (1, None, None)


async def test_a_sender_who_left_the_directory_can_still_be_read(world: World, subprotocol: str) -> None:
    message, more = chat(JANE, BOB), chat(JANE, BOB)
    jane, bob = await world.join(JANE, subprotocol), await world.join(BOB, subprotocol)
    await jane.post(message)
    await jane.post(more)
    await world.node.directory.remove(Kind.PERSON, (str(JANE),))
    assert await unread(world, BOB) == {f"person:{JANE}": 2}
    assert (await bob.post(about(message)))["type"] == "ack"
    assert await unread(world, BOB) == {f"person:{JANE}": 1}
    assert (await world.http(BOB).post(about(more))).status == 200
    assert await unread(world, BOB) == {f"person:{JANE}": 0}
    # Nothing else can be sent to a person who was removed, and a mark without a message stays refused.
    for refused in (chat(BOB, JANE), about(message, "chat_reaction_emoji"), about(chat(JANE, BOB))):
        assert (await bob.post(refused))["code"] == "not_found"


async def test_a_company_that_was_removed_can_still_be_read(world: World) -> None:
    message = chat(ACME, BOB, sendable_type="company")
    await world.http(CAROL).post(message)
    await world.node.directory.remove(Kind.COMPANY, (str(ACME),))
    assert await unread(world, BOB) == {f"company:{ACME}": 1}
    assert (await world.http(BOB).post(about(message))).status == 200
    assert await unread(world, BOB) == {f"company:{ACME}": 0}
