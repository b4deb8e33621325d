"""No frame with several activities is larger than a client can read: counted on the wire, for every history."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgpack
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from protocol.activity import ActivityType
from protocol.directory import Kind
from storage.contract import Posting
from tests.end_to_end.conftest import OpenWorld
from tests.harness.backend import SQLITE
from tests.harness.node import ROOT
from tests.harness.peer import JSON, MSGPACK, WAIT_SECONDS, chat
from tests.harness.people import BOB, JANE
from tests.harness.raw_socket import BINARY, CLOSE, TEXT, RawSocket, frame, raw_socket
from tests.harness.watch import Watch
from tests.harness.world import World

KIB = 1024
DEFAULT_BYTES = 32 * KIB
TEXTS = ("x" * 300, "\x01" * 900, "\x01" * 9_000, "x" * 40_000, '"' * 2_000, "🙂" * 5, "é" * 8_000, "x")
"""Small ones, ones that JSON makes six times as long, and ones that are larger than the limit alone."""


def history(count: int) -> list[Posting]:
    return [posting(TEXTS[number // 10 % len(TEXTS)]) for number in range(count)]


def posting(text: str) -> Posting:
    return Posting(ActivityType.chat_message, BOB, JANE, BOB, None, text, str(uuid.uuid4()), 1_720_181_685_000)


class Arrived(NamedTuple):
    """One frame as it came over the wire."""

    wire_bytes: int
    value: dict[str, Any]


async def arrived(socket: RawSocket) -> Arrived:
    """Return the next data frame with its size on the wire, header included."""
    while (found := await socket.read()) is not None:
        if found.opcode in (TEXT, BINARY):
            value = msgpack.unpackb(found.payload) if found.opcode == BINARY else json.loads(found.payload)
            return Arrived(len(frame(found.opcode, found.payload, masked=False)), value)
        assert found.opcode != CLOSE, f"closed: {found.payload!r}"
    raise AssertionError("the connection ended")


@asynccontextmanager
async def session(world: World, subprotocol: str, person: int = JANE, **hello: Any) -> AsyncIterator[RawSocket]:
    async with raw_socket(world.url, subprotocol) as socket:
        await socket.send({"type": "hello", "token": world.tokens.person(person), **hello})
        yield socket


async def until(socket: RawSocket, kind: str) -> list[Arrived]:
    """Return the frames up to the first of this type."""
    frames = [await arrived(socket)]
    while frames[-1].value["type"] != kind:
        frames.append(await arrived(socket))
    return frames


def check(frames: list[Arrived], limit: int) -> list[int]:
    """Check the bound of each frame of activities; returns the ids."""
    batches = [each for each in frames if each.value["type"] == "activities"]
    several = [each.wire_bytes for each in batches if len(each.value["activities"]) > 1]
    assert max(several) <= limit
    assert max(several) > limit // 3, "the frames are not filled"
    return [activity["id"] for each in batches for activity in each.value["activities"]]


@pytest.mark.usual_backends(SQLITE)
@pytest.mark.parametrize("ring_size", [4_096, 1])
@pytest.mark.parametrize("asked", [None, 4_096, 10_000, DEFAULT_BYTES, 128 * KIB])
async def test_no_catch_up_frame_of_several_is_above_the_limit(
    open_: OpenWorld, subprotocol: str, asked: int | None, ring_size: int
) -> None:
    world = await open_(ring_size=ring_size, heartbeat_seconds=3_600)
    await world.running.append(history(400))
    hello = {} if asked is None else {"max_frame_bytes": asked}
    async with session(world, subprotocol, last_activity_id=0, **hello) as socket:
        frames = await until(socket, "caught_up")
    assert check(frames, asked or DEFAULT_BYTES) == list(range(1, 401))


@pytest.mark.usual_backends(SQLITE)
@pytest.mark.parametrize("asked", [None, 4_096, 128 * KIB])
async def test_no_live_frame_of_several_is_above_the_limit(
    open_: OpenWorld, subprotocol: str, asked: int | None
) -> None:
    world = await open_(heartbeat_seconds=3_600)  # the raw sockets answer no ping
    hello = {} if asked is None else {"max_frame_bytes": asked}
    async with session(world, subprotocol, **hello) as jane, session(world, subprotocol, BOB, **hello) as bob:
        await until(jane, "welcome")
        await until(bob, "welcome")
        async with asyncio.TaskGroup() as group:
            reading = [group.create_task(up_to(socket, 550)) for socket in (jane, bob)]
            await world.running.append(history(400), each=400)
            # The sender's acknowledgements and activities go out in one write.
            for number in range(150):
                await bob.send({"type": "send", "ref": number, "activity": chat(BOB, JANE, TEXTS[number // 10 % 2])})
    for each in reading:
        assert check(each.result(), asked or DEFAULT_BYTES) == list(range(1, 551))


async def up_to(socket: RawSocket, id: int) -> list[Arrived]:
    """Return the frames up to the one that ends with this activity."""
    frames = [await arrived(socket)]
    while _last_id(frames) < id:
        frames.append(await arrived(socket))
    return frames


def _last_id(frames: list[Arrived]) -> int:
    last = frames[-1].value
    return int(last["activities"][-1]["id"]) if last["type"] == "activities" else 0


@asynccontextmanager
async def ordinary_client(world: World, subprotocol: str, max_size: int) -> AsyncIterator[ClientConnection]:
    """Connect the `websockets` library with a limit of its own for what it reads."""
    async with connect(
        f"ws{world.url.removeprefix('http')}/apps/buzz/socket",
        subprotocols=[Subprotocol(subprotocol)],
        max_size=max_size,
        proxy=None,
    ) as connection:
        yield connection


async def caught_up(connection: ClientConnection, token: str, **hello: Any) -> list[int]:
    """Catch up from 0; returns the ids. Raises ConnectionClosed if a frame was too large for the client."""
    binary = connection.subprotocol == MSGPACK
    first = {"type": "hello", "token": token, "last_activity_id": 0, **hello}
    await connection.send(msgpack.packb(first) if binary else json.dumps(first))
    ids: list[int] = []
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            data = await connection.recv()
            value = msgpack.unpackb(data) if isinstance(data, bytes) else json.loads(data)
            if value["type"] == "caught_up":
                return ids
            ids += [each["id"] for each in value.get("activities", ())]


async def test_a_client_that_reads_32_kib_catches_up(world: World, subprotocol: str) -> None:
    # The largest that fit alone: 30,000 bytes as JSON, also of a text that JSON makes six times as long.
    await world.running.append([posting(text) for text in ("x" * 300, "\x01" * 5_000, "x" * 30_000) * 200])
    async with ordinary_client(world, subprotocol, DEFAULT_BYTES) as connection:
        ids = await caught_up(connection, world.tokens.person(JANE))
    assert ids == list(range(1, 601))


@pytest.mark.usual_backends(SQLITE)
async def test_welcome_says_what_hello_asked_for_and_what_the_client_may_send(world: World, subprotocol: str) -> None:
    jane = await world.join(JANE, subprotocol, max_frame_bytes=4_096)
    assert (jane.welcome["max_frame_bytes"], jane.welcome["max_send_bytes"]) == (4_096, 128 * KIB)
    ack = await jane.post(chat(JANE, BOB, "x" * 60_000))
    assert ack["type"] == "ack", "what the client sends has the same limit as before"
    await jane.until_ids(ack["id"])


LONGEST_NAME = {"first_name": "\x01" * 255, "middle_name": "\x01" * 255, "last_name": "\x01" * 255}
WIDEST_NAME = dict.fromkeys(LONGEST_NAME, "🙂" * 255)


@pytest.mark.usual_backends(SQLITE)
@pytest.mark.parametrize(
    ("subprotocol", "text", "names", "most"),
    [
        (JSON, "\x01" * 65_536, LONGEST_NAME, 400 * KIB),
        (MSGPACK, "x" * 65_536, WIDEST_NAME, 72 * KIB),
        (MSGPACK, "x" * 65_536, {"first_name": "Jane", "middle_name": "A.", "last_name": "Smith"}, 68 * KIB),
    ],
)
async def test_one_activity_alone_is_as_large_as_the_page_says(
    world: World, subprotocol: str, text: str, names: dict[str, str], most: int
) -> None:
    for person in (BOB, JANE):
        await world.node.directory.put(Kind.PERSON, (str(person),), names)
    await world.running.append([posting("x"), posting(text), posting("x")])
    async with session(world, subprotocol, last_activity_id=0) as socket:
        sizes = [each.wire_bytes for each in await until(socket, "caught_up")]
    assert 0.9 * most < max(sizes) <= most
    page = (ROOT / "docs/protocol.md").read_text()
    assert f"{most // KIB} KiB" in page


@pytest.mark.usual_backends(SQLITE)
async def test_a_client_that_cannot_read_a_frame_is_counted_and_logged(world: World, watch: Watch) -> None:
    await world.running.append([posting("x" * 300) for _ in range(100)])
    for _ in range(2):
        async with ordinary_client(world, JSON, 8 * KIB) as connection:
            with pytest.raises(ConnectionClosed):
                await caught_up(connection, world.tokens.person(JANE), device_id="old phone")
            await connection.wait_closed()
    lines = [line for line in watch.log if "1009" in line["event"]]
    assert len(lines) == 2
    for line in lines:
        assert (line["person_id"], line["device_id"], line["started_after"]) == (JANE, "old phone", 0)
        assert line["session"]
        assert 8 * KIB < line["largest_frame_bytes"] <= line["max_frame_bytes"] == DEFAULT_BYTES
        assert "max_frame_bytes in hello" in line["advice"]
    admin = world.http(token=world.tokens.service("admin"))
    metrics = (await admin("GET", "/metrics")).body.decode()
    assert 'buzz_frames_refused_total{sent="catch_up"} 2.0' in metrics
    # The way out that the line names:
    async with ordinary_client(world, JSON, 64 * KIB) as connection:
        assert len(await caught_up(connection, world.tokens.person(JANE), max_frame_bytes=64 * KIB)) == 100


@pytest.mark.usual_backends(SQLITE)
async def test_a_live_frame_that_a_client_cannot_read_is_counted_as_live(world: World) -> None:
    bob = await world.join(BOB)
    async with ordinary_client(world, JSON, 8 * KIB) as connection:
        await connection.send(json.dumps({"type": "hello", "token": world.tokens.person(JANE)}))
        assert json.loads(await connection.recv())["type"] == "welcome"
        await bob.post(chat(BOB, JANE, "x" * 9_000))
        with pytest.raises(ConnectionClosed):
            await connection.recv()
        await connection.wait_closed()
    closes = world.node.socket.acceptor.refused_frames.closes
    assert closes == {"catch_up": 0, "live": 1}


@pytest.mark.usual_backends(SQLITE)
async def test_an_error_does_not_repeat_a_name_that_a_client_made_up(world: World, subprotocol: str) -> None:
    long = "\x01" * 20_000
    bad = (
        {"type": "ping", long: 1},
        {"type": "send", "ref": 1, "activity": {**chat(JANE, BOB), long: 1}},
        {"type": "typing", "to": {"type": "person", "id": 1, long: 1}},
        {"type": long},
        {"type": "send", "ref": "r" * 64, "activity": chat(JANE, BOB) | {"type": long}},
    )
    async with session(world, subprotocol) as socket:
        await until(socket, "welcome")
        for frame_ in bad:
            await socket.send(frame_)
            answer = (await until(socket, "error"))[-1]
            assert answer.value["code"] == "bad_frame"
            assert answer.wire_bytes <= 4 * KIB
