"""Every field of every frame with what it must not be: a documented answer, the session goes on, nothing is stored."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from protocol.activity import ActivityType
from protocol.frames import CLIENT_FRAMES
from tests.end_to_end.conftest import OpenWorld
from tests.harness.backend import SQLITE
from tests.harness.bad_values import BASE, CASES, HELLO, NAN, TYPES, Case, changed, fitting, is_nan, shown
from tests.harness.peer import JSON, Frame, Peer, chat
from tests.harness.people import BOB, JANE, rows
from tests.harness.world import World

pytestmark = pytest.mark.usual_backends(SQLITE)


class Sessions:
    """A session for bad frames; a new one before the limit of bad frames per minute is reached."""

    def __init__(self, world: World, subprotocol: str, greeted: bool = True) -> None:
        self._world = world
        self._subprotocol = subprotocol
        self._greeted = greeted
        self._peer: Peer | None = None
        self._used = 0

    async def rude_to(self, frame: Any) -> Frame:
        """The ``error`` that answers it; the session is alive afterwards."""
        if self._peer is None or self._used >= 18:
            if self._peer is not None:
                await self._peer.close()
            self._peer, self._used = await self._world.connect(self._subprotocol), 0
            if self._greeted:
                await self._peer.hello(self._world.tokens.person(JANE))
        self._used += 1
        before = len(self._peer.of_type("error"))
        await self._peer.send_value(frame)
        answers = await self._peer.until(lambda peer: peer.of_type("error")[before:])
        if self._greeted:
            await self._peer.alive()
        assert len(answers) == 1
        return answers[0]


@pytest.fixture
async def strict_world(open_: OpenWorld) -> World:
    return await open_(send_rate_limit=100_000, frame_rate_limit=100_000)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.type}.{'.'.join(case.path)}")
async def test_a_field_that_does_not_fit_is_named(strict_world: World, case: Case, subprotocol: str) -> None:
    sessions, wrong = Sessions(strict_world, subprotocol), []
    for value in fitting(case.values, subprotocol):
        frame = changed({"type": case.type, "ref": "mine", **BASE[case.type]}, case.path, value)
        answer = await sessions.rude_to(frame)
        good_ref = frame.get("ref") if case.path != ("ref",) else None
        seen = answer["code"], answer.get("ref")
        # What only the activity's type asks for is refused as over HTTP.
        expected = answer["code"] if answer["code"] == "bad_request" and message_of(case) else "bad_frame", good_ref
        # A JSON text with NaN in it is none: there is no parameter to name.
        if seen != expected or not (names(answer["message"], case) or is_nan(value)):
            wrong.append((shown(value), answer))
    assert not wrong
    assert rows(strict_world.data_dir, "SELECT count(*) FROM activity") == [(0,)]


def message_of(case: Case) -> bool:
    return case.path[-1] in ("message", "message_id", "call_time")


def names(message: str, case: Case) -> bool:
    """The first parameter at fault, or one inside it, is named."""
    path = ".".join(case.path)
    return f"'{path}" in message or f"'{case.path[-1]}'" in message


async def test_values_that_would_have_been_accepted_are_named(world: World, subprotocol: str) -> None:
    jane = await world.join(JANE, subprotocol)
    await jane.send("send", ref=1, activity={**chat(JANE, BOB), "type": "chat"})
    await jane.send("typing", ref=2, to={"type": "robot", "id": BOB})
    posted, typed = await jane.until(lambda peer: len(peer.of_type("error")) == 2 and peer.of_type("error"))
    assert all(f"'{kind.name}'" in posted["message"] for kind in ActivityType)
    assert "'to.type': should be one of 'person', 'company'" in typed["message"]


@pytest.mark.parametrize("case", HELLO, ids=lambda case: f"hello.{'.'.join(case.path)}")
async def test_a_hello_that_does_not_fit_is_answered_and_may_be_said_again(
    strict_world: World, case: Case, subprotocol: str
) -> None:
    values = fitting(case.values, subprotocol)
    for start in range(0, len(values), 18):
        peer = await strict_world.connect(subprotocol)
        for number, value in enumerate(values[start : start + 18], 1):
            good = {"type": "hello", "token": strict_world.tokens.person(JANE)}
            await peer.send_value(changed(good, case.path, value))
            await peer.until(lambda p, number=number: len(p.of_type("error")) == number)  # type: ignore[misc]
            answer = peer.of_type("error")[-1]
            assert answer["code"] == "bad_frame", shown(value)
            assert f"'{case.path[0]}'" in answer["message"] or is_nan(value), (shown(value), answer)
        await peer.hello(strict_world.tokens.person(JANE))
        await peer.alive()
        await peer.close()


async def test_unknown_fields_of_a_hello_are_ignored(world: World, subprotocol: str) -> None:
    jane = await world.join(JANE, subprotocol, future={"deep": [[[]]]}, other=None, client=["anything", {"at": "all"}])
    await jane.alive()


@pytest.mark.parametrize("greeted", [False, True], ids=["before hello", "after hello"])
async def test_an_unknown_type_is_answered(strict_world: World, subprotocol: str, greeted: bool) -> None:
    sessions = Sessions(strict_world, subprotocol, greeted)
    for value in TYPES:
        answer = await sessions.rude_to(changed({"ref": 7}, ("type",), value))
        assert (answer["code"], answer["ref"]) == ("bad_frame", 7), shown(value)
        assert "type" in answer["message"] or is_nan(value)


@pytest.mark.parametrize("value", [[], None, 1, "hello", True, [{"type": "ping"}], NAN], ids=repr)
async def test_what_is_no_map_is_answered(strict_world: World, subprotocol: str, value: Any) -> None:
    for greeted in (False, True):
        answer = await Sessions(strict_world, subprotocol, greeted).rude_to(value)
        assert answer["code"] == "bad_frame"


@pytest.mark.parametrize("frame", [frame for frame in BASE if frame != "refresh"])
async def test_a_frame_before_hello_is_answered_and_hello_may_follow(
    world: World, subprotocol: str, frame: str
) -> None:
    peer = await world.connect(subprotocol)
    answer = await peer.ask(frame, **{name: value for name, value in BASE[frame].items() if name != "ref"})
    assert (answer["type"], answer["code"]) == ("error", "bad_frame")
    await peer.hello(world.tokens.person(JANE))
    assert rows(world.data_dir, "SELECT count(*) FROM activity") == [(0,)]


async def test_a_second_hello_is_answered_and_changes_nothing(world: World, subprotocol: str) -> None:
    jane = await world.join(JANE, subprotocol)
    answer = await jane.ask("hello", token=world.tokens.person(BOB), last_activity_id=0)
    assert (answer["type"], answer["code"]) == ("error", "bad_frame")
    bob = await world.join(BOB)
    await bob.post(chat(BOB, BOB))
    await jane.alive()
    assert jane.activities == []


# What a type of activity asks of the fields together


def call(kind: str, **more: Any) -> Frame:
    parties = {"sendable_type": "person", "sendable_id": JANE, "receivable_type": "person", "receivable_id": JANE}
    return {"type": kind, **parties} | more


CALLS = [kind.name for kind in ActivityType if not kind.is_chat]


async def test_what_a_type_needs_or_does_not_take_is_said(strict_world: World, subprotocol: str) -> None:
    some = str(uuid.uuid4())
    table: list[tuple[Frame, str]] = [
        (call("chat_message", message_id=some), "Missing required parameter: 'message'"),
        (call("chat_reaction_emoji", message_id=some), "Missing required parameter: 'message'"),
        (call("chat_message", message="x"), "Missing required parameter: 'message_id'"),
        (call("chat_reaction_emoji", message="x"), "Missing required parameter: 'message_id'"),
        (call("chat_read_indicator"), "Missing required parameter: 'message_id'"),
        (call("chat_read_indicator", message_id=some, message="x"), "Invalid parameter: 'message'"),
        *((call(kind, call_time=1, message="x"), "Invalid parameter: 'message'") for kind in CALLS),
        *((call(kind), "Missing required parameter: 'call_time'") for kind in CALLS if "connected" in kind),
    ]
    sessions, http = Sessions(strict_world, subprotocol), strict_world.http(JANE)
    for activity, message in table:
        answer = await sessions.rude_to({"type": "send", "ref": 1, "activity": activity})
        assert (answer["code"], answer["ref"]) in (("bad_request", 1), ("bad_frame", 1)), activity
        assert message in answer["message"].replace("'activity.", "'"), activity
        over_http = await http.post(activity)
        assert over_http.status == 400
        assert over_http.json["error"] is True
        assert over_http.json["message"].startswith(message)
    assert rows(strict_world.data_dir, "SELECT count(*) FROM activity") == [(0,)]


@pytest.mark.parametrize("size", [1, 65_536])
@pytest.mark.parametrize("character", ["x", "é", "日", "🐝"])
async def test_a_message_of_64_kib_of_utf8_is_taken_to_the_byte(world: World, character: str, size: int) -> None:
    width = len(character.encode())
    message = character * max(1, size // width) + "x" * (size % width if size > 1 else 0)
    jane, bob = await world.join(JANE, "buzz.v1.msgpack"), await world.join(BOB, JSON)
    ack = await jane.post(chat(JANE, BOB, message))
    assert ack["type"] == "ack", ack
    await bob.until_ids(1)
    assert bob.activities[0]["message"] == message
    assert (await jane.post(chat(JANE, BOB, message + "x" * 64)))["type"] == ("ack" if size == 1 else "error")


async def test_every_character_survives_the_way_through(world: World) -> None:
    message = "".join(chr(n) for n in [*range(0x300), 0x2028, 0x2029, 0xD7FF, 0xE000, 0xFFFD, 0xFFFF, 0x10FFFF])
    jane = await world.join(JANE, "buzz.v1.msgpack")
    bobs = [await world.join(BOB, JSON), await world.join(BOB, "buzz.v1.msgpack")]
    await jane.post(chat(JANE, BOB, message))
    late = await world.join(BOB, JSON, last=0)
    for bob in (*bobs, late):
        await bob.until_ids(1)
        assert bob.activities[0]["message"] == message
    assert (await world.http(BOB).get("/apps/buzz/activity/0")).json[0]["message"] == message


def test_every_client_frame_is_covered() -> None:
    assert {frame.__name__.lower() for frame in CLIENT_FRAMES} == {*BASE, "hello"}
    covered = {(case.type, case.path[0]) for case in (*CASES, *HELLO)}
    for frame in CLIENT_FRAMES:
        for field in set(frame.__struct_fields__) - {"client"}:
            assert (frame.__name__.lower(), field) in covered


async def test_an_empty_token_is_a_bad_token_and_no_bad_frame(world: World) -> None:
    jane = await world.join(JANE)
    assert (await jane.ask("refresh", token=""))["code"] == "unauthorized"
    assert (await jane.ask("ping"))["type"] == "pong"
    stranger = await world.connect()
    await stranger.send("hello", token="")
    assert await stranger.until_closed() == 4401
