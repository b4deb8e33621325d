"""Two people use every route and frame with each other's ids: none of the other's data can be read or written."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.backend import POSTGRESQL, SQLITE
from tests.harness.peer import JSON, chat
from tests.harness.people import ACME, BOB, CAROL, EVE, JANE, rows
from tests.harness.world import World

SECRET = "between Jane and Bob alone"


async def a_conversation(world: World) -> list[dict[str, Any]]:
    """Jane and Bob talk, and Jane with a company: nothing of it is Eve's."""
    jane = world.http(JANE)
    message = chat(JANE, BOB, SECRET)
    reaction = chat(BOB, JANE, SECRET, type="chat_reaction_emoji", message_id=message["message_id"])
    company = chat(JANE, ACME, SECRET, receivable_type="company")
    for author, activity in ((JANE, message), (BOB, reaction), (JANE, company)):
        answer = await world.http(author).post(activity, headers={"Idempotency-Key": f"key of {author}"})
        assert answer.status in (200, 422), answer.body
    assert (await jane.post(company)).status == 200
    return [message, reaction, company]


READS = (
    "/apps/buzz/activity/0",
    "/apps/buzz/activity/0?limit=100",
    "/apps/buzz/activity?limit=100",
    f"/apps/buzz/activity/0?party=person:{JANE}",
    f"/apps/buzz/activity/0?party=person:{BOB}",
    f"/apps/buzz/activity/0?party=company:{ACME}",
    f"/apps/buzz/activity?party=person:{JANE}",
    f"/apps/buzz/activity?party=company:{ACME}&before=100",
    "/apps/buzz/conversations",
    "/apps/buzz/heartbeat",
    "/apps/buzz/blocked",
    "/apps/buzz/calls",
    "/apps/buzz/call-settings",
    "/apps/buzz/encryption",
)


async def test_no_route_shows_a_stranger_anything_of_it(world: World) -> None:
    await a_conversation(world)
    for path in READS:
        answer = await world.http(EVE).get(path)
        assert answer.status in (200, 404), path
        assert SECRET not in answer.body.decode(), path
        if answer.status == 200 and answer.body.startswith(b"["):
            assert answer.json == [], path
        elif path.endswith("heartbeat"):
            assert answer.json["last_activity_id"] == "0"
        assert (await world.http().get(path)).status == 401, path


@pytest.mark.parametrize("last", [0, 1, None])
async def test_no_session_does_either(world: World, subprotocol: str, last: int | None) -> None:
    eve = await world.join(EVE, subprotocol, last=last)
    await a_conversation(world)
    late = await world.join(EVE, subprotocol, last=last)
    for peer in (eve, late):
        await peer.alive()
        assert peer.activities == []
        assert peer.of_type("event") == []


def forgeries(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What Eve might try with what she could know or guess of it."""
    message, reaction, company = messages
    calls = [
        {
            "type": kind,
            "sendable_type": "person",
            "sendable_id": JANE,
            "receivable_type": "person",
            "receivable_id": BOB,
        }
        for kind in ("outgoing_call_missed", "incoming_call_missed")
    ]
    return [
        message,
        reaction,
        company,
        chat(JANE, EVE),
        chat(BOB, JANE),
        chat(ACME, EVE, sendable_type="company"),
        chat(ACME, JANE, sendable_type="AppModelsCompany"),
        *calls,
    ]


@pytest.mark.backends(SQLITE, POSTGRESQL)
async def test_nobody_writes_as_another(world: World, subprotocol: str) -> None:
    messages = await a_conversation(world)
    before = rows(world.data_dir, "SELECT * FROM activity ORDER BY id")
    eve, http = await world.join(EVE, subprotocol), world.http(EVE)
    for activity in forgeries(messages):
        answer = await eve.post(activity)
        assert (answer["type"], answer["code"]) == ("error", "forbidden"), activity
        over_http = await http.post(activity)
        assert over_http.status == 403, activity
        assert SECRET not in over_http.body.decode()
    assert rows(world.data_dir, "SELECT * FROM activity ORDER BY id") == before


@pytest.mark.backends(SQLITE, POSTGRESQL)
@pytest.mark.parametrize("kind", ["chat_reaction_emoji", "chat_read_indicator"])
@pytest.mark.parametrize("to", [JANE, BOB, CAROL])
async def test_nobody_reacts_to_a_message_that_is_not_theirs(
    world: World, subprotocol: str, kind: str, to: int
) -> None:
    message = (await a_conversation(world))[0]
    eve = await world.join(EVE, subprotocol)
    activity = chat(EVE, to, type=kind, message_id=message["message_id"])
    if kind == "chat_read_indicator":
        del activity["message"]
    assert (await eve.post(activity))["code"] == "not_found"
    assert (await world.http(EVE).post(activity)).status == 404
    unread = (await world.http(BOB).get("/apps/buzz/conversations")).json
    assert unread[0]["unread"] == 1


async def test_anothers_idempotency_key_and_message_id_answer_nothing(world: World) -> None:
    message = (await a_conversation(world))[0]
    mine = chat(EVE, BOB, message_id=message["message_id"])
    answer = await world.http(EVE).post(mine, headers={"Idempotency-Key": f"key of {JANE}"})
    assert answer.status == 200
    assert "Idempotent-Replayed" not in answer.headers
    assert answer.json["data"]["message"] == "ciphertext"


async def test_a_member_of_another_company_sees_nothing_of_it(world: World) -> None:
    await a_conversation(world)
    await world.set_member(124, EVE)
    assert (await world.http(EVE).get(f"/apps/buzz/activity/0?party=company:{ACME}")).json == []
    eve = await world.join(EVE, JSON, last=0)
    await eve.until_frame("caught_up")
    assert eve.activities == []


async def test_clearing_ones_own_history_leaves_what_others_have_among_themselves(world: World) -> None:
    await a_conversation(world)
    assert (await world.http(EVE)("DELETE", "/apps/buzz/clear")).status == 204
    assert len((await world.http(BOB).get("/apps/buzz/activity/0")).json) == 2
