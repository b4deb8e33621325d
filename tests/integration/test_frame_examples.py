"""The examples of the frames: shown in docs/protocol.md and /asyncapi.json, and true of a running server."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgpack
import msgspec
import pytest
from jsonschema import Draft202012Validator

from docs.frames import PAGE, filled
from protocol.activity import Activity, ActivityType
from protocol.answers import NumberGiven, posted
from protocol.codec import CODECS, Codec
from protocol.events import EventName
from protocol.frames import CLIENT_FRAMES, SERVER_FRAMES
from server.description.frame_examples import CLIENT_EXAMPLES, EVENT_EXAMPLES, EXAMPLES, SERVER_EXAMPLES, Frame
from server.node.demo import load_demo
from tests.harness.peer import JSON, MSGPACK, Peer
from tests.harness.world import World, open_world

JANE, JOHN = 456, 7
CLIENT = [(kind, number) for kind, examples in CLIENT_EXAMPLES.items() for number in range(len(examples))]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        await load_demo(opened.node.directory)
        yield opened


def client_frame(kind: str, number: int, token: str) -> Frame:
    """Return an example with a real token in the place of the shown one."""
    frame = CLIENT_EXAMPLES[kind][number].frame
    return {**frame, "token": token} if "token" in frame else frame


def test_every_frame_and_every_event_has_an_example() -> None:
    assert list(CLIENT_EXAMPLES) == [each.__struct_config__.tag for each in CLIENT_FRAMES]
    assert set(SERVER_EXAMPLES) == {each.__struct_config__.tag for each in SERVER_FRAMES}
    assert set(EVENT_EXAMPLES) == {name.value for name in EventName}
    for kind, examples in EXAMPLES.items():
        assert examples
        assert {each.frame["type"] for each in examples} == {kind}


def test_the_examples_show_every_field_of_every_frame() -> None:
    for each in (*CLIENT_FRAMES, *SERVER_FRAMES):
        kind = str(each.__struct_config__.tag)
        shown = {name for example in EXAMPLES[kind] for name in example.frame}
        optional = {"ref"} if kind in ("hello", "received", "typing", "welcome") else set()
        assert set(each.__struct_fields__) - optional == shown - {"type"}, kind


def test_the_page_shows_exactly_these_examples() -> None:
    page = PAGE.read_text("utf-8")
    assert filled(page) == page, "run: python -m docs.frames"
    blocks = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```", page, re.MULTILINE | re.DOTALL)]
    wanted = [each.frame for examples in EXAMPLES.values() for each in examples]
    frames = [block for block in blocks if block.get("type") in EXAMPLES]
    assert sorted(map(json.dumps, frames)) == sorted(map(json.dumps, wanted))


async def test_asyncapi_shows_them_and_they_fit_its_schemas(world: World) -> None:
    document: Any = (await world.http()("GET", "/asyncapi.json")).json
    for kind, examples in EXAMPLES.items():
        message = document["components"]["messages"][kind]
        assert [each["payload"] for each in message["examples"]] == [each.frame for each in examples]
        assert [each["summary"] for each in message["examples"]] == [each.when for each in examples]
        schema = {**message["payload"], "components": document["components"]}
        for each in examples:
            Draft202012Validator(schema).validate(each.frame)


@pytest.mark.parametrize("codec", CODECS.values(), ids=lambda codec: codec.name)
@pytest.mark.parametrize(("kind", "number"), CLIENT)
def test_every_example_of_a_client_is_decoded(codec: Codec, kind: str, number: int) -> None:
    frame = CLIENT_EXAMPLES[kind][number].frame
    decoded = codec.decode(msgpack.packb(frame) if codec.binary else json.dumps(frame).encode())
    assert type(decoded).__struct_config__.tag == kind


@pytest.mark.parametrize("subprotocol", [JSON, MSGPACK])
@pytest.mark.parametrize("number", range(len(CLIENT_EXAMPLES["hello"])))
async def test_a_server_accepts_every_hello(world: World, subprotocol: str, number: int) -> None:
    jane = await world.connect(subprotocol)
    await jane.send_value(client_frame("hello", number, world.tokens.person(JANE)))
    await jane.until_frame("welcome")
    await jane.until_frame("caught_up")


@pytest.mark.parametrize("subprotocol", [JSON, MSGPACK])
async def test_a_server_accepts_every_other_frame_of_a_client(world: World, subprotocol: str) -> None:
    jane = await world.join(JANE, subprotocol, device_id="phone")
    for kind, number in CLIENT:
        if kind != "hello":
            await jane.send_value(client_frame(kind, number, world.tokens.person(JANE)))
    answers = {"send": "ack", "refresh": "refreshed", "ping": "pong"}
    for kind, number in CLIENT:
        if kind in answers:
            await jane.until_frame(answers[kind], ref=CLIENT_EXAMPLES[kind][number].frame["ref"])
    await jane.alive()
    assert jane.of_type("error") == []


def shape(value: Any) -> Any:
    """Return the names and types in a value; None stands for any type."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value[:1]]
    return None if value is None else "number" if type(value) in (int, float) else type(value).__name__


def fits(example: Any, real: Any) -> bool:
    """Whether two shapes have the same names and types; what is null in one of them fits."""
    if example is None or real is None:
        return True
    if isinstance(example, dict) and isinstance(real, dict):
        return set(example) == set(real) and all(fits(example[name], real[name]) for name in example)
    if isinstance(example, list) and isinstance(real, list):
        return all(fits(a, b) for a, b in zip(example, real, strict=False))
    return bool(example == real)


async def test_a_server_sends_frames_like_every_example_of_its_own(world: World) -> None:
    jane, john = await _a_conversation(world)
    real = [shape(frame) for frame in (*jane.frames, *john.frames)]
    real.append(shape({"type": "event", "name": "number.given", "data": vars(NumberGiven("1", "2385551629"))}))
    call = Activity(1, ActivityType.incoming_call_missed, JOHN, JANE, 3, None, "x", 1_720_181_685_000)
    real.append(shape({"type": "event", "name": "activity.changed", "data": msgspec.to_builtins(posted(call))}))
    for kind, examples in SERVER_EXAMPLES.items():
        for each in examples:
            same = [frame for frame in real if _same_kind(frame, shape(each.frame))]
            assert any(fits(shape(each.frame), frame) for frame in same), f"{kind}, {each.when}: {same[:2]}"


def _same_kind(real: Any, example: Any) -> bool:
    """Whether both have the fields of one kind of frame; an event also the fields of its data."""
    if set(real) != set(example):
        return False
    return "data" not in real or set(real["data"]) == set(example["data"])


async def _a_conversation(world: World) -> tuple[Peer, Peer]:
    """Have a server send every kind of frame, and all events but two."""
    jane, john = await world.join(JANE, last=0, device_id="phone"), await world.join(JOHN)
    for kind, number in CLIENT:
        if kind not in ("hello", "typing"):
            await jane.send_value(client_frame(kind, number, world.tokens.person(JANE)))
    await john.post({"type": "outgoing_call_missed", "sendable_type": "person", "sendable_id": JOHN,
                     "receivable_type": "company", "receivable_id": 123})  # fmt: skip
    await jane.send("send", ref=8, activity={**CLIENT_EXAMPLES["send"][0].frame["activity"], "message_id": None})
    await john.send("typing", to={"type": "person", "id": JANE})
    laptop = await world.join(JANE, device_id="laptop")
    await _a_receipt_and_a_device(world, jane, john, laptop)
    short = await world.join(JANE, ttl=30)
    await _events(world)
    await _too_many_sends(john)
    names = {"call.ringing", "call.blocked", "directory.changed", "typing", "privacy_request.received",
             "privacy_request.updated", "device.added", "device.removed"}  # fmt: skip
    await jane.until(lambda peer: all(peer.events(name) for name in names))
    await jane.until_frame("refreshed")
    await john.until(lambda peer: peer.events("trust.requested") and peer.events("key.changed"))
    await short.until(lambda peer: peer.events("token.expiring"))
    draining = asyncio.create_task(world.node.socket.drain(0.5))
    await jane.until_frame("reconnect")
    await draining
    jane.frames += short.frames
    return jane, john


async def _a_receipt_and_a_device(world: World, jane: Peer, john: Peer, laptop: Peer) -> None:
    """John's message reaches a device of Jane's, which is then signed out."""
    message = {**CLIENT_EXAMPLES["send"][0].frame["activity"], "message_id": str(uuid.uuid4())}
    turned = {"sendable_id": JOHN, "receivable_id": JANE}
    sent = (await john.post({**message, **turned}))["id"]
    await laptop.until(lambda peer: sent in peer.ids)
    await laptop.send("received", id=sent)
    await john.until(lambda peer: peer.events("receipt"))
    async with asyncio.timeout(60):
        while (await world.http(JANE)("DELETE", "/apps/buzz/devices/laptop")).status != 204:
            pass
    await jane.until(lambda peer: peer.events("device.removed"))


async def _too_many_sends(peer: Peer) -> None:
    activity = {"type": "outgoing_call_missed", "sendable_type": "person", "sendable_id": JOHN,
                "receivable_type": "person", "receivable_id": JANE}  # fmt: skip
    for number in range(250):
        await peer.send("send", ref=number, activity=activity)
    await peer.until_frame("error", code="rate_limited")


async def _events(world: World) -> None:
    """Cause the events of the directory, of keys, of calls and of privacy requests."""
    admin = world.http(token=world.tokens.service("admin"))
    await admin("PUT", "/admin/directory/contact/99", json={"person_id": JANE, "trusted": True})
    asked = {"person_id": JOHN, "from": {"type": "person", "id": JANE}, "created_at": "2024-07-01T10:00:00Z"}
    await admin("PUT", "/admin/directory/trust_request/99", json=asked)
    key = {"algorithm": "x25519", "public_key": "aGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gISE="}
    await world.http(JANE)("PUT", "/apps/buzz/public-key", json=key)
    lookup = world.http(token=world.tokens.service("lookup"))
    for inbound in ("9876543210", "9876543219"):
        ask = {"number_code": "1", "number": "2385551629", "inbound_code": "1", "inbound": inbound}
        await lookup("GET", "/apps/buzz/trust-lookup", params=ask)
    form = {"first_name": "Julian", "last_name": "Salama", "email": "julian@example.com", "tell_me": True}
    assert (await world.http()("POST", "/privacy-requests/57", json=form)).status < 300
    jane = world.http(JANE)
    [request] = (await jane("GET", "/apps/buzz/privacy-requests")).json
    path = f"/apps/buzz/privacy-requests/{request['id']}"
    assert (await jane("PATCH", path, json={"acknowledged": True})).status == 200
