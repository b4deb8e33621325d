"""Typing, received marks and pings: what is told live and coalesced, whatever its rate."""

from __future__ import annotations

import pytest

from tests.end_to_end.conftest import OpenWorld
from tests.harness.backend import SQLITE
from tests.harness.peer import MSGPACK, chat
from tests.harness.people import ACME, BOB, CAROL, DAVE, EVE, JANE, rows
from tests.harness.waiting import until
from tests.harness.world import World


def person(id: int) -> dict[str, object]:
    return {"type": "person", "id": id}


async def test_typing_reaches_the_other_ones_devices_and_nobody_else_and_is_not_stored(
    world: World, subprotocol: str
) -> None:
    jane, tablet = await world.join(JANE, subprotocol), await world.join(JANE, subprotocol)
    bobs, eve = [await world.join(BOB), await world.join(BOB, MSGPACK)], await world.join(EVE)
    await jane.send("typing", to=person(BOB))
    for bob in bobs:
        [data] = await bob.until(lambda peer: peer.events("typing"))
        assert data == {"from": person(JANE), "to": person(BOB), "expires_in_ms": 8_000}
    for other in (jane, tablet, eve):
        await other.alive()
        assert other.of_type("event") == []
    assert (await world.http(BOB).get("/apps/buzz/activity/0")).json == []


async def test_typing_to_a_company_reaches_its_members(world: World) -> None:
    jane, carol, dave = await world.join(JANE), await world.join(CAROL), await world.join(DAVE)
    await jane.send("typing", to={"type": "App\\Models\\Company", "id": ACME})
    for member in (carol, dave):
        [data] = await member.until(lambda peer: peer.events("typing"))
        assert data["to"] == {"type": "company", "id": ACME}


async def test_a_member_is_not_told_of_their_own_typing(world: World, subprotocol: str) -> None:
    carol, tablet = await world.join(CAROL, subprotocol), await world.join(CAROL, MSGPACK)
    dave = await world.join(DAVE, subprotocol)
    await carol.send("typing", to={"type": "company", "id": ACME})
    [data] = await dave.until(lambda peer: peer.events("typing"))
    assert data == {"from": person(CAROL), "to": {"type": "company", "id": ACME}, "expires_in_ms": 8_000}
    for own in (carol, tablet):
        await own.alive()
        assert own.events("typing") == []


async def test_typing_is_coalesced(world: World, subprotocol: str) -> None:
    jane, bob, eve = await world.join(JANE, subprotocol), await world.join(BOB), await world.join(EVE)
    for _ in range(100):
        await jane.send("typing", to=person(BOB))
    await jane.send("typing", to=person(EVE))
    await eve.until(lambda peer: peer.events("typing"))
    await jane.alive()
    await bob.until(lambda peer: peer.events("typing"))
    await bob.alive()
    assert 1 <= len(bob.events("typing")) <= 5


@pytest.mark.usual_backends(SQLITE)
async def test_typing_to_nobody_is_not_found(world: World, subprotocol: str) -> None:
    jane = await world.join(JANE, subprotocol)
    answer = await jane.ask("typing", to=person(10**12))
    assert (answer["type"], answer["code"]) == ("error", "not_found")


def marks(world: World, id: int) -> dict[object, object]:
    return dict(rows(world.data_dir, "SELECT device_id, received_id FROM device WHERE person_id = ?", id))  # type: ignore[arg-type]


async def test_received_marks_are_kept_per_device_and_never_go_back(open_: OpenWorld, subprotocol: str) -> None:
    world = await open_()
    phone = await world.join(JANE, subprotocol, device_id="phone")
    tablet = await world.join(JANE, subprotocol, device_id="tablet")
    bobs = await world.join(BOB, subprotocol, device_id="phone")
    for _ in range(5):
        await phone.post(chat(JANE, BOB))
    await tablet.until(lambda peer: len(peer.ids) == 5)
    await phone.send("received", id=3)
    await phone.send("received", id=2)
    await tablet.send("received", id=10**15)
    await bobs.send("received", id=1)
    await until(lambda: (marks(world, JANE), marks(world, BOB)) == ({"phone": 3, "tablet": 5}, {"phone": 1}))


async def test_a_thousand_received_marks_are_a_few_writes(open_: OpenWorld) -> None:
    world = await open_(frame_rate_limit=100_000)
    jane = await world.join(JANE, device_id="phone")
    for _ in range(20):
        await jane.post(chat(JANE, BOB))
    for _ in range(50):
        for id in range(21):
            await jane.send("received", id=id)
    await jane.alive()
    await until(lambda: marks(world, JANE) == {"phone": 20})


@pytest.mark.usual_backends(SQLITE)
async def test_received_without_a_device_is_taken_and_kept_nowhere(world: World, subprotocol: str) -> None:
    jane = await world.join(JANE, subprotocol)
    await jane.send("received", id=1)
    await jane.alive()
    assert jane.of_type("error") == []
    assert marks(world, JANE) == {}


@pytest.mark.usual_backends(SQLITE)
@pytest.mark.parametrize("ref", [None, "r", 7])
async def test_a_ping_is_answered_with_its_ref(world: World, subprotocol: str, ref: object) -> None:
    jane = await world.join(JANE, subprotocol)
    await jane.send("ping", **({} if ref is None else {"ref": ref}))
    expected = {"type": "pong"} if ref is None else {"type": "pong", "ref": ref}
    assert await jane.until_frame("pong") == expected


@pytest.mark.usual_backends(SQLITE)
async def test_welcome_says_what_a_client_needs(open_: OpenWorld, subprotocol: str) -> None:
    world = await open_(heartbeat_seconds=12.5, max_frame_bytes=4_096)
    jane = await world.connect(subprotocol)
    welcome = await jane.hello(
        world.tokens.person(JANE), ref="r", device_id="phone", client={"name": "test", "since": [1, None]}, future=1
    )
    assert list(welcome) == [
        "type", "session_id", "person_id", "device_id", "head_id", "epoch", "heartbeat_seconds", "max_frame_bytes",
        "max_send_bytes", "server_time", "token_expires_at", "ref",
    ]  # fmt: skip
    assert (welcome["person_id"], welcome["device_id"], welcome["head_id"], welcome["ref"]) == (JANE, "phone", 0, "r")
    assert welcome["heartbeat_seconds"] == 12.5
    # Without a wish for the server's frames, both are what the client may send: older clients know the first only.
    assert (welcome["max_frame_bytes"], welcome["max_send_bytes"]) == (4_096, 4_096)
    for name in ("server_time", "token_expires_at"):
        assert len(welcome[name]) == 20
        assert welcome[name].endswith("Z")
