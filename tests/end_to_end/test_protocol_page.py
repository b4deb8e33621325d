"""Sentences of docs/protocol.md that no other test holds."""

from __future__ import annotations

import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from tests.harness.backend import SQLITE, TWO_NODES
from tests.harness.peer import JSON, MSGPACK, chat
from tests.harness.people import BOB, JANE
from tests.harness.world import World


@pytest.mark.usual_backends(SQLITE)
@pytest.mark.parametrize(
    ("offered", "chosen"),
    [([MSGPACK, JSON], MSGPACK), ([JSON, MSGPACK], JSON), (["other", JSON], JSON), (["other"], None), ([], None)],
)
async def test_the_first_known_subprotocol_is_chosen(world: World, offered: list[str], chosen: str | None) -> None:
    url = f"ws{world.url.removeprefix('http')}/apps/buzz/socket"
    names = [Subprotocol(name) for name in offered] or None
    async with connect(url, subprotocols=names, proxy=None) as connection:
        assert connection.subprotocol == chosen


@pytest.mark.usual_backends(SQLITE)
@pytest.mark.parametrize(("path", "status"), [("/apps/buzz/socket", 400), ("/apps/buzz/sockets", 404)])
async def test_what_is_no_upgrade_gets_an_http_error(world: World, path: str, status: int) -> None:
    assert (await world.http(JANE).get(path)).status == status


@pytest.mark.backends(SQLITE, TWO_NODES)
async def test_a_cursor_above_the_newest_id_counts_as_the_newest(world: World) -> None:
    first = (await world.http(BOB).post(chat(BOB, JANE))).json["data"]["id"]
    jane = await world.join(JANE, last=10**6)
    assert (await jane.until_frame("caught_up"))["id"] == first
    second = (await world.http(BOB).post(chat(BOB, JANE))).json["data"]["id"]
    assert await jane.until_ids(second) == [second]


@pytest.mark.backends(SQLITE, TWO_NODES)
async def test_sends_of_one_socket_are_stored_in_their_order(world: World) -> None:
    jane, bob = await world.join(JANE), await world.join(BOB)
    for number in range(100):
        await bob.send("send", ref=number, activity=chat(BOB, JANE, str(number)))
    await jane.until(lambda peer: len(peer.ids) == 100)
    assert [activity["message"] for activity in jane.activities] == [str(number) for number in range(100)]


async def test_the_ack_of_a_duplicate_comes_alone_and_the_first_text_stays(world: World) -> None:
    jane = await world.join(JANE)
    message = chat(JANE, BOB, "first")
    first = await jane.post(message)
    again = await jane.post({**message, "message": "encrypted again"})
    assert (again["id"], again["duplicate"]) == (first["id"], True)
    last = await jane.post(chat(JANE, BOB, "last"))
    await jane.until_ids(last["id"])
    assert [activity["message"] for activity in jane.activities] == ["first", "last"]


async def test_without_a_key_only_messages_are_stored_once(world: World) -> None:
    jane = await world.join(JANE)
    message = chat(JANE, BOB)
    await jane.post(message)
    reaction = {**message, "type": "chat_reaction_emoji", "message": "like"}
    assert [(await jane.post(reaction))["duplicate"] for _ in range(2)] == [False, False]
    keyed = {**reaction, "idempotency_key": "k"}
    assert [(await jane.post(keyed))["duplicate"] for _ in range(2)] == [False, True]


@pytest.mark.usual_backends(SQLITE)
async def test_some_frames_are_answered_only_if_they_are_refused(world: World, subprotocol: str) -> None:
    jane = await world.join(JANE, subprotocol, device_id="phone")
    before = len(jane.frames)
    await jane.send("received", id=0, ref=1)
    await jane.send("typing", to={"type": "person", "id": BOB}, ref=2)
    await jane.alive()
    assert [frame["type"] for frame in jane.frames[before:]] == ["pong"]
    await jane.send("typing", to={"type": "person", "id": 10**15}, ref=3)
    assert (await jane.until_frame("error", ref=3))["code"] == "not_found"
