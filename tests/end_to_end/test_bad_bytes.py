"""Below the frames' meaning: bytes that are no websocket, no JSON, no msgpack, or too much of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from urllib.parse import urlsplit

import msgpack
import pytest

from protocol.frame_reader import FRAMES_AFTER_REFUSAL, Failure, FrameReader, RefusedReader
from tests.end_to_end.conftest import OpenWorld
from tests.harness.backend import SQLITE
from tests.harness.peer import JSON, MSGPACK, chat
from tests.harness.people import BOB, JANE, rows
from tests.harness.raw_socket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, RawSocket, frame, raw_socket
from tests.harness.waiting import until
from tests.harness.world import World

pytestmark = pytest.mark.usual_backends(SQLITE)

PONG_TO = {JSON: b'{"type":"ping"}', MSGPACK: msgpack.packb({"type": "ping"})}


@pytest.fixture
async def raw(world: World, subprotocol: str) -> AsyncIterator[RawSocket]:
    """A welcomed session whose bytes the test writes itself."""
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(raw_socket(world.url, subprotocol))
        await opened.send({"type": "hello", "token": world.tokens.person(JANE)})
        assert (await opened.value())["type"] == "welcome"
        yield opened


def kind(subprotocol: str) -> int:
    return BINARY if subprotocol == MSGPACK else TEXT


# The websocket itself (RFC 6455)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (frame(3, b"x"), 1002),
        (frame(0xB, b"x"), 1002),
        (frame(TEXT, b"x", reserved=0x10), 1002),
        (frame(TEXT, b"x", reserved=0x40), 1002),
        (frame(PING, b"x" * 126), 1002),
        (frame(PING, b"x", fin=False), 1002),
        (frame(CONTINUATION, b"x"), 1002),
        (frame(TEXT, b"x", fin=False) + frame(TEXT, b"x"), 1002),
        (frame(CLOSE, b"x"), 1002),
        (frame(CLOSE, (1005).to_bytes(2, "big")), 1002),
        (frame(CLOSE, (1006).to_bytes(2, "big")), 1002),
        (frame(CLOSE, (999).to_bytes(2, "big")), 1002),
        (b"\x81\xff" + (2**63 - 1).to_bytes(8, "big") + b"\0\0\0\0", 1009),
        (b"\x81\xff" + (2**64 - 1).to_bytes(8, "big") + b"\0\0\0\0", 1009),
    ],
    ids=[
        "reserved opcode", "reserved control opcode", "rsv3", "rsv1: compressed", "long ping", "fragmented ping",
        "continuation of nothing", "message within a message", "close of one byte", "close 1005", "close 1006",
        "close 999", "huge length", "negative length",
    ],
)  # fmt: skip
async def test_what_is_no_websocket_is_closed_with_the_standards_code(
    world: World, raw: RawSocket, bad: bytes, code: int
) -> None:
    await raw.write(bad)
    assert await raw.close_code() in (code, 1002)
    await (await world.join(BOB)).alive()


@pytest.mark.parametrize("split", [1, 3, 7, 10**9])
async def test_a_client_that_does_not_mask_is_closed_with_1002(
    world: World, subprotocol: str, raw: RawSocket, split: int
) -> None:
    good = frame(kind(subprotocol), PONG_TO[subprotocol])
    large = frame(kind(subprotocol), PONG_TO[subprotocol] + (b" " * 70_000 if subprotocol == JSON else b""))
    sent = good + large + frame(PING, b"x" * 125) + frame(kind(subprotocol), PONG_TO[subprotocol], masked=False)
    for start in range(0, len(sent), max(split, len(sent) // 50)):
        await raw.write(sent[start : start + max(split, len(sent) // 50)])
    assert await raw.close_code() == 1002
    assert len(world.node.hub) == 0


async def test_nothing_is_written_after_a_close_frame(world: World, raw: RawSocket) -> None:
    bob = await world.join(BOB)
    await raw.write(frame(CLOSE, (1000).to_bytes(2, "big")))
    for _ in range(5):
        await bob.post(chat(BOB, JANE))
    assert await raw.close_code() == 1000


async def test_a_ping_is_answered_with_its_payload(raw: RawSocket) -> None:
    for payload in (b"", b"x" * 125, b"\xff\x00"):
        await raw.write(frame(PING, payload))
        assert await raw.read() == (PONG, payload)


async def test_pongs_that_nobody_asked_for_are_ignored(raw: RawSocket, subprotocol: str) -> None:
    await raw.write(frame(PONG, b"x") * 20, frame(kind(subprotocol), PONG_TO[subprotocol]))
    assert await raw.value() == {"type": "pong"}


async def test_a_pong_shows_that_the_peer_is_alive_and_begins_no_work(world: World, raw: RawSocket) -> None:
    """Of thousands of idle sessions there are hundreds a second."""
    [session] = world.node.hub
    wire, tasks = session.wire, len(asyncio.all_tasks())
    wire.ping()
    assert await raw.read() == (PING, b"")
    assert not wire.heard
    await raw.write(frame(PONG))
    await until(lambda: wire.heard)
    assert len(asyncio.all_tasks()) == tasks


async def test_what_looks_like_a_pong_within_a_frame_is_passed_on(
    world: World, raw: RawSocket, subprotocol: str
) -> None:
    ref = "\ua280 abc"  # in UTF-8, from its second byte on, it is an empty pong with a mask
    value = {"type": "ping", "ref": ref}
    payload = msgpack.packb(value) if subprotocol == MSGPACK else json.dumps(value, ensure_ascii=False).encode()
    sent = frame(kind(subprotocol), payload)
    begin = sent.index(b"\x8a\x80")
    [session] = world.node.hub
    wire, before = session.wire, session.wire.bytes_in
    await raw.write(sent[:begin])
    await until(lambda: wire.bytes_in == before + begin)
    wire.ping()
    assert await raw.read() == (PING, b"")
    await raw.write(sent[begin : begin + 6])
    await until(lambda: wire.bytes_in == before + begin + 6)
    await raw.write(sent[begin + 6 :])
    assert await raw.value() == {"type": "pong", "ref": ref}


@pytest.mark.parametrize("size", [1, 2, 5])
async def test_frames_in_pieces_are_put_together(raw: RawSocket, subprotocol: str, size: int) -> None:
    payload, parts = PONG_TO[subprotocol], []
    pieces = [payload[start : start + size] for start in range(0, len(payload), size)]
    for number, piece in enumerate(pieces):
        opcode = CONTINUATION if number else kind(subprotocol)
        parts.append(frame(opcode, piece, fin=number == len(pieces) - 1))
        parts.append(frame(PING, b"between"))
    for byte in b"".join(parts):
        await raw.write(bytes((byte,)))
    assert await raw.value() == {"type": "pong"}


async def test_the_wrong_kind_of_frame_is_closed_with_4400(world: World, raw: RawSocket, subprotocol: str) -> None:
    await raw.write(frame(TEXT if subprotocol == MSGPACK else BINARY, PONG_TO[subprotocol]))
    assert await raw.close_code() == 4400


async def test_the_wrong_kind_before_hello_as_well(world: World, subprotocol: str) -> None:
    peer = await world.connect(subprotocol)
    await peer.send_raw('{"type":"hello"}' if subprotocol == MSGPACK else b'{"type":"hello"}')
    assert await peer.until_closed() == 4400


@pytest.mark.parametrize("payload", [b"", b"\xff"], ids=["empty", "one byte"])
async def test_ten_thousand_tiny_frames_end_the_session_and_hurt_nobody(
    world: World, raw: RawSocket, subprotocol: str, payload: bytes
) -> None:
    bob = await world.join(BOB)
    await raw.write(frame(kind(subprotocol), payload) * 10_000)
    assert await raw.close_code() in (4400, 4429), "what comes first: how many at once is the network's affair"
    await bob.alive()


async def test_ten_thousand_good_tiny_frames_are_too_many_a_second(
    world: World, raw: RawSocket, subprotocol: str
) -> None:
    await raw.write(frame(kind(subprotocol), PONG_TO[subprotocol]) * 10_000)
    assert await raw.close_code() == 4429


async def test_ten_thousand_tiny_frames_are_all_answered_where_the_limit_allows_it(
    open_: OpenWorld, subprotocol: str
) -> None:
    world = await open_(frame_rate_limit=100_000)
    async with raw_socket(world.url, subprotocol) as raw:
        await raw.send({"type": "hello", "token": world.tokens.person(JANE)})
        assert (await raw.value())["type"] == "welcome"
        await raw.write(frame(kind(subprotocol), PONG_TO[subprotocol]) * 10_000)
        for _ in range(10_000):
            assert await raw.value() == {"type": "pong"}


async def test_an_endless_message_of_tiny_pieces_is_measured(raw: RawSocket, subprotocol: str) -> None:
    await raw.write(frame(kind(subprotocol), b"x", fin=False))
    await raw.write(frame(CONTINUATION, b"x" * 100, fin=False) * 1_400)
    assert await raw.close_code() == 1009


@pytest.mark.parametrize("welcomed", [False, True], ids=["before hello", "after hello"])
async def test_a_message_comes_in_64_fragments_at_most(world: World, subprotocol: str, welcomed: bool) -> None:
    hello = {"type": "hello", "token": world.tokens.person(JANE)}
    for empty, code in ((62, None), (63, 1009)):
        async with raw_socket(world.url, subprotocol) as raw:
            value = {"type": "ping"} if welcomed else hello
            if welcomed:
                await raw.send(hello)
                assert (await raw.value())["type"] == "welcome"
            payload = msgpack.packb(value) if subprotocol == MSGPACK else json.dumps(value).encode()
            rest = frame(CONTINUATION, fin=False) * empty + frame(CONTINUATION)
            await raw.write(frame(kind(subprotocol), payload, fin=False) + rest)
            if code is None:
                assert (await raw.value())["type"] == ("pong" if welcomed else "welcome")
            else:
                assert await raw.close_code() == code


FLOODS = {
    "pings": frame(PING) * 20_000,
    "pongs": frame(PONG) * 20_000,
    "fragments with pings between": (frame(TEXT, fin=False) + frame(PING) + frame(CONTINUATION)) * 7_000,
    "one message of empty fragments": frame(TEXT, fin=False) + frame(CONTINUATION, fin=False) * 20_000,
    "fragments of nothing": frame(CONTINUATION, fin=False) * 20_000,
    "what came too large": frame(TEXT, b"x" * 140_000) + frame(PING) * 20_000,
}


@pytest.mark.parametrize("flood", FLOODS)
@pytest.mark.parametrize("welcomed", [False, True], ids=["before hello", "after hello"])
async def test_a_flood_of_frames_of_any_kind_is_not_read_to_its_end(
    world: World, monkeypatch: pytest.MonkeyPatch, flood: str, welcomed: bool
) -> None:
    """Whoever goes on after the refusal is cut off: what was looked at is bounded, whatever was sent."""
    looked, judge, follow = [0], FrameReader._judge, RefusedReader.is_over

    def judged(self: FrameReader, first: int, size: int, now: float) -> Failure | None:
        looked[0] += 1
        return judge(self, first, size, now)

    def followed(self: RefusedReader, data: bytes) -> bool | None:
        before = self._frames
        over = follow(self, data)
        looked[0] += self._frames - before
        return over

    monkeypatch.setattr(FrameReader, "_judge", judged)
    monkeypatch.setattr(RefusedReader, "is_over", followed)
    bob = await world.join(BOB)
    async with raw_socket(world.url, JSON) as raw:
        if welcomed:
            await raw.send({"type": "hello", "token": world.tokens.person(JANE)})
            assert (await raw.value())["type"] == "welcome"
        with suppress(ConnectionError):
            await raw.write(FLOODS[flood])
            while await raw.read() is not None:
                pass
    assert 0 < looked[0] < FRAMES_AFTER_REFUSAL + 600
    await bob.alive()
    await until(lambda: len(world.node.hub) == 1)


async def test_nothing_may_come_with_the_upgrade(world: World) -> None:
    """A client waits for the answer (RFC 6455, section 4.1); what came before it would pass every check of frames."""
    parts = urlsplit(world.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    upgrade = (
        f"GET /apps/buzz/socket HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    writer.write(upgrade.encode() + frame(PING, masked=False) * 1_000)
    async with asyncio.timeout(20):
        answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400"), answer
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    assert world.node.socket.traffic() == (0, 0, 0)


@pytest.mark.parametrize("how", ["one frame", "pieces"])
async def test_who_sends_too_much_comes_to_read_why_it_is_not_taken(world: World, subprotocol: str, how: str) -> None:
    """Ten times: a connection that is cut while its client still writes loses the close frame most of the time."""
    size = 4 * 1024**2
    for _ in range(10):
        async with raw_socket(world.url, subprotocol) as raw:
            await raw.send({"type": "hello", "token": world.tokens.person(JANE)})
            assert (await raw.value())["type"] == "welcome"
            if how == "one frame":
                await raw.write(frame(kind(subprotocol), b"x" * size))
            else:
                await raw.write(frame(kind(subprotocol), b"x", fin=False))
                for _ in range(size // 4_096):
                    await raw.write(frame(CONTINUATION, b"x" * 4_096, fin=False))
            assert await raw.close_code() == 1009
            await raw.write(frame(CLOSE, (1009).to_bytes(2, "big")))
            assert await raw.read() is None, "and then the server ends the connection, without waiting for anything"


# JSON and msgpack

CLOSED = "closed with 4400"
BAD_FRAME = "answered with bad_frame"
JSON_BYTES: list[tuple[str, bytes, str]] = [
    ("empty", b"", CLOSED),
    ("space", b"  \n ", CLOSED),
    ("half an object", b'{"type":"ping"', CLOSED),
    ("more after it", b'{"type":"ping"} {}', CLOSED),
    ("a comma too many", b'{"type":"ping",}', CLOSED),
    ("single quotes", b"{'type':'ping'}", CLOSED),
    ("invalid UTF-8", b'{"type":"ping","ref":"\xff\xfe"}', CLOSED),
    ("overlong UTF-8", b'{"type":"ping","ref":"\xc0\xaf"}', CLOSED),
    ("a surrogate in UTF-8", b'{"type":"ping","ref":"\xed\xa0\x80"}', CLOSED),
    ("UTF-16", '{"type":"ping"}'.encode("utf-16"), CLOSED),
    ("UTF-32", '{"type":"ping"}'.encode("utf-32-le"), CLOSED),
    ("a byte order mark", b'\xef\xbb\xbf{"type":"ping"}', CLOSED),
    ("a zero byte", b'{"type":"ping"}\x00', CLOSED),
    ("a control character in a string", b'{"type":"ping","ref":"\x01"}', CLOSED),
    ("half a surrogate pair", b'{"type":"ping","ref":"\\ud800"}', BAD_FRAME),
    ("an array", b"[]", BAD_FRAME),
    ("null", b"null", BAD_FRAME),
    ("a number", b"1", BAD_FRAME),
    ("NaN alone", b"NaN", BAD_FRAME),
    ("a string", b'"ping"', BAD_FRAME),
    ("an empty object", b"{}", BAD_FRAME),
    ("NaN", b'{"type":"ping","ref":NaN}', BAD_FRAME),
    ("infinity", b'{"type":"received","id":-Infinity}', BAD_FRAME),
    ("1e400", b'{"type":"received","id":1e400}', BAD_FRAME),
    ("a number of 5,000 digits", b'{"type":"received","id":' + b"9" * 5_000 + b"}", BAD_FRAME),
    ("100,000 brackets", b"[" * 100_000, BAD_FRAME),
    ("nested too deep", b'{"type":"ping","ref":' + b"[" * 40_000 + b"]" * 40_000 + b"}", BAD_FRAME),
    ("the type twice, the last unknown", b'{"type":"ping","type":"nope"}', BAD_FRAME),
    ("the id twice, the last bad", b'{"type":"received","id":1,"id":-1}', BAD_FRAME),
]
MSGPACK_BYTES: list[tuple[str, bytes, str]] = [
    ("empty", b"", CLOSED),
    ("a code that is never used", b"\xc1", CLOSED),
    ("half a map", b"\x82\xa4type\xa4ping", CLOSED),
    ("more after it", msgpack.packb({"type": "ping"}) + b"\x00", CLOSED),
    ("invalid UTF-8", b"\x82\xa4type\xa4ping\xa3ref\xa2\xff\xfe", CLOSED),
    ("a map of four billion", b"\xdf\xff\xff\xff\xff\xa4type", CLOSED),
    ("an array of four billion", b"\xdd\xff\xff\xff\xff", CLOSED),
    ("a string of four gigabytes", b"\x82\xa4type\xa4ping\xa3ref\xdb\xff\xff\xff\xffx", CLOSED),
    ("binary of four gigabytes", b"\xc6\xff\xff\xff\xff", CLOSED),
    ("JSON", b'{"type":"ping"}', CLOSED),
    ("an array", b"\x90", BAD_FRAME),
    ("nil", b"\xc0", BAD_FRAME),
    ("an empty map", b"\x80", BAD_FRAME),
    ("an extension", b"\xd4\x01\x00", BAD_FRAME),
    ("a time", msgpack.packb(msgpack.Timestamp(1)), BAD_FRAME),
    ("a map with number keys", b"\x81\x01\x02", BAD_FRAME),
    ("a map with array keys", b"\x82\xa4type\xa4ping\x90\x01", BAD_FRAME),
    ("a binary type", b"\x81\xa4type\xc4\x04ping", BAD_FRAME),
    ("NaN", b"\x82\xa4type\xa4ping\xa3ref\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", BAD_FRAME),
    ("an extension as a ref", b"\x82\xa4type\xa4ping\xa3ref\xd4\x01\x00", BAD_FRAME),
    ("100,000 arrays", b"\x91" * 100_000, BAD_FRAME),
    ("nested too deep", b"\x82\xa4type\xa4ping\xa3ref" + b"\x91" * 40_000 + b"\xc0", BAD_FRAME),
    ("the type twice, the last unknown", b"\x82\xa4type\xa4ping\xa4type\xa4nope", BAD_FRAME),
]


@pytest.mark.parametrize("welcomed", [False, True], ids=["before hello", "after hello"])
@pytest.mark.parametrize("codec", [JSON, MSGPACK])
async def test_what_can_not_be_decoded_is_closed_and_what_does_not_fit_is_answered(
    open_: OpenWorld, codec: str, welcomed: bool
) -> None:
    world = await open_(max_sessions_per_person=1_000)
    wrong = []
    for name, data, expected in JSON_BYTES if codec == JSON else MSGPACK_BYTES:
        async with raw_socket(world.url, codec) as raw:
            if welcomed:
                await raw.send({"type": "hello", "token": world.tokens.person(JANE)})
                await raw.value()
            await raw.write(frame(kind(codec), data))
            found = await raw.read()
            assert found is not None, name
            if found.opcode == CLOSE:
                seen = CLOSED if found.payload[:2] == (4400).to_bytes(2, "big") else f"closed: {found.payload!r}"
                await raw.write(frame(CLOSE, found.payload[:2]))
            else:
                error = msgpack.unpackb(found.payload) if codec == MSGPACK else json.loads(found.payload)
                seen = BAD_FRAME if error.get("code") == "bad_frame" and error["message"] else repr(error)
                await raw.send({"type": "hello", "token": world.tokens.person(JANE)})
                if welcomed:
                    assert (await raw.value())["code"] == "bad_frame", "a second hello"
                    await raw.send({"type": "ping"})
                assert (await raw.value())["type"] == ("pong" if welcomed else "welcome"), name
        if seen != expected:
            wrong.append((name, seen, expected))
    assert not wrong
    assert rows(world.data_dir, "SELECT count(*) FROM activity") == [(0,)]


async def test_of_a_duplicate_key_the_last_counts(world: World) -> None:
    jane = await world.join(JANE)
    await jane.send_raw('{"type":"ping","ref":1,"ref":2}')
    assert await jane.until_frame("pong") == {"type": "pong", "ref": 2}


async def test_no_part_of_a_bad_frame_comes_back_that_could_not_be_encoded(world: World) -> None:
    jane = await world.join(JANE)
    await jane.send_raw('{"type":"ping","ref":"\\ud800"}')
    assert "ref" not in await jane.until_frame("error")
    await jane.alive()
