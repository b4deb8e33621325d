"""A person's devices: noted, listed, named, and signed out on every node."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from protocol.errors import CloseCode
from server.services.devices import SIGN_OUTS_AT_ONCE
from tests.harness.backend import POSTGRESQL, SQLITE
from tests.harness.http import Http
from tests.harness.peer import Peer, chat
from tests.harness.people import BOB, JANE
from tests.harness.waiting import until
from tests.harness.world import World

KEY = "jJ0DYzKJ7fJ1UHPkTJFCB0/F3dLC6mYHRMiXEIHyhRw="


async def listed(http: Http) -> dict[str, dict[str, Any]]:
    answer = await http.get("/apps/buzz/devices")
    assert answer.status == 200
    return {device["device_id"]: device for device in answer.json}


def public_key(device: str) -> dict[str, str]:
    """The body of ``PUT public-key``."""
    return {"public_key": KEY, "algorithm": "x25519", "device_id": device}


async def publish(http: Http, device: str) -> None:
    assert (await http("PUT", "/apps/buzz/public-key", json=public_key(device))).status == 200


async def joined(world: World, device: str, **more: Any) -> Peer:
    """Connect a device of Jane's with a token of its own, and wait until the others were told."""
    peer = await world.connect()
    await peer.hello(world.tokens.person(JANE), device_id=device, **more)
    http = world.http(JANE)
    async with asyncio.timeout(60):
        while device not in await listed(http):
            pass
    return peer


async def test_devices_are_listed_with_their_program_keys_and_progress(world: World) -> None:
    phone = await joined(world, "phone", client="Buzz for iOS 3.1")
    desk = await joined(world, "desk", client={"name": "Buzz web", "version": "1.2", "x": [1]})
    http = world.http(JANE)
    await publish(http, "phone")
    sent = (await phone.post(chat(JANE, BOB)))["id"]
    await desk.until_ids(sent)
    await desk.send("received", id=sent)
    await desk.alive()
    async with asyncio.timeout(60):
        while (await listed(http))["desk"]["received_id"] != sent:
            pass
    found = await listed(http)
    assert [found[name]["client"] for name in ("phone", "desk")] == ["Buzz for iOS 3.1", "Buzz web 1.2"]
    assert [found[name]["live"] for name in ("phone", "desk")] == [True, True]
    assert [[key["algorithm"] for key in found[name]["keys"]] for name in ("phone", "desk")] == [["x25519"], []]
    assert found["phone"]["added_at"] is not None
    await phone.close()
    await until(lambda: len(world.node.hub.sessions_of(JANE)) < 2)
    async with asyncio.timeout(60):
        while (await listed(http))["phone"]["live"]:
            pass
    assert await listed(world.http(BOB)) == {}


async def test_the_others_are_told_of_a_new_device_once(world: World) -> None:
    phone = await joined(world, "phone")
    desk = await joined(world, "desk", client="web")
    event = (await phone.until(lambda peer: [e for e in peer.events("device.added") if e["device_id"] == "desk"]))[0]
    assert event["client"] == "web"
    await desk.close()
    await joined(world, "desk")
    await joined(world, "tablet")
    await phone.until(lambda peer: [e for e in peer.events("device.added") if e["device_id"] == "tablet"])
    assert [event["device_id"] for event in phone.events("device.added")][-2:] == ["desk", "tablet"]


@pytest.mark.usual_backends(SQLITE)
async def test_a_device_gets_a_name_and_loses_it(world: World) -> None:
    await joined(world, "phone")
    http = world.http(JANE)
    path = "/apps/buzz/devices/phone"
    assert (await http("PUT", path, json={"name": "Jane’s phone"})).status == 204
    assert (await listed(http))["phone"]["name"] == "Jane’s phone"
    for bad in ({}, {"name": ""}, {"name": "x" * 65}, {"name": "a\x1b[2J"}, {"name": 1}, {"name": "x", "more": 1}):
        assert (await http("PUT", path, json=bad)).status == 400
    assert (await http("PUT", path, json={"name": None})).status == 204
    assert (await listed(http))["phone"]["name"] is None
    assert (await http("PUT", "/apps/buzz/devices/nobody", json={"name": "x"})).status == 404
    assert (await world.http(BOB)("PUT", path, json={"name": "x"})).status == 404


async def test_a_device_that_is_signed_out_ends_and_comes_back_only_with_a_new_token(world: World) -> None:
    token = world.tokens.person(JANE)
    phone = await world.connect()
    await phone.hello(token, device_id="phone")
    desk = await joined(world, "desk")
    async with asyncio.timeout(60):
        while "phone" not in await listed(world.http(JANE)):
            pass
    bob = await world.join(BOB)
    await bob.post(chat(BOB, JANE))
    http = world.http(JANE)
    await publish(http, "phone")
    assert (await http("DELETE", "/apps/buzz/devices/phone")).status == 204
    assert await phone.until_closed() == CloseCode.UNAUTHORIZED
    await desk.until(lambda peer: peer.events("device.removed") == [{"device_id": "phone"}])
    changed = await bob.until(lambda peer: [e for e in peer.events("key.changed") if e.get("revoked_at")])
    assert changed[0]["person_id"] == JANE
    assert "phone" not in await listed(http)
    keys = (await http.get(f"/apps/buzz/public-key/{JANE}")).json
    assert [key["revoked_at"] is None for key in keys] == [False]
    await desk.alive()

    again = await world.connect()  # with the token that it had
    await again.send("hello", token=token, device_id="phone")
    assert await again.until_closed() == CloseCode.UNAUTHORIZED
    assert (await world.http(token=token).get("/apps/buzz/heartbeat")).status == 401
    await joined(world, "phone")  # with a new one


@pytest.mark.usual_backends(SQLITE, POSTGRESQL)
async def test_the_callers_own_token_survives_when_both_devices_share_it(world: World) -> None:
    token = world.tokens.person(JANE)
    http = world.http(token=token)
    phone, desk = await world.connect(), await world.connect()
    await phone.hello(token, device_id="phone")
    await desk.hello(token, device_id="desk")
    async with asyncio.timeout(60):
        while len(await listed(http)) < 2:
            pass
    assert (await http("DELETE", "/apps/buzz/devices/phone")).status == 204
    assert await phone.until_closed() == CloseCode.UNAUTHORIZED
    await desk.alive()
    again = await world.connect()
    await again.send("hello", token=token, device_id="phone")
    assert await again.until_closed() == CloseCode.UNAUTHORIZED
    assert (await http.get("/apps/buzz/heartbeat")).status == 200
    refused = await http("PUT", "/apps/buzz/public-key", json=public_key("phone"))
    assert (refused.status, "was signed out" in refused.message) == (401, True)
    await publish(http, "desk")
    await publish(world.http(JANE), "phone")  # with a newer one


@pytest.mark.usual_backends(SQLITE)
async def test_nobody_signs_out_another_persons_device_and_nobody_signs_out_too_many(world: World) -> None:
    phone = await joined(world, "phone")
    assert (await world.http(BOB)("DELETE", "/apps/buzz/devices/phone")).status == 404
    await phone.alive()
    http = world.http(JANE)
    for number in range(SIGN_OUTS_AT_ONCE + 1):
        await joined(world, f"device-{number}")
    statuses = [
        (await http("DELETE", f"/apps/buzz/devices/device-{number}")).status for number in range(SIGN_OUTS_AT_ONCE + 1)
    ]
    assert statuses == [204] * SIGN_OUTS_AT_ONCE + [429]


@pytest.mark.usual_backends(SQLITE, POSTGRESQL)
async def test_what_a_device_did_before_it_was_signed_out_does_not_put_it_back_afterwards(world: World) -> None:
    desk = await joined(world, "desk")
    phone = await joined(world, "phone")
    sent = (await desk.post(chat(JANE, BOB)))["id"]
    devices, frame_handler, may_write = world.node.live.devices, world.node.socket.frame_handler, asyncio.Event()

    def held(write: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
        async def later(rows: Any) -> Any:
            await may_write.wait()
            return await write(rows)

        return later

    devices._accounts.note_seen = held(devices._accounts.note_seen)  # type: ignore[assignment, method-assign]
    frame_handler._keep = held(frame_handler._keep)
    again = await world.connect()
    await again.hello(world.tokens.person(JANE), device_id="phone")
    assert await phone.until_closed() == CloseCode.REPLACED
    await again.send("received", id=sent)
    await again.alive()
    http = world.http(JANE)
    assert (await http("DELETE", "/apps/buzz/devices/phone")).status == 204
    assert await again.until_closed() == CloseCode.UNAUTHORIZED
    may_write.set()
    await devices.close()
    await frame_handler.close()
    assert set(await listed(http)) == {"desk"}
