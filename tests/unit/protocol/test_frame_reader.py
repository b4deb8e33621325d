"""A client's frames, however their bytes are cut: what is read, and what is refused and when."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.frames import Frame
from websockets.protocol import OPEN, Protocol, Side

from protocol.frame_reader import (
    FRAMES_AFTER_REFUSAL,
    MAX_FRAGMENTS,
    Failure,
    FrameLimits,
    FrameReader,
    Message,
    RefusedReader,
)
from tests.harness.raw_socket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame

LIMIT = 1_000
RATE = 500
Sizes = list[int]


def new_reader(rate: float = RATE, limit: int = LIMIT) -> FrameReader:
    return FrameReader(FrameLimits(limit, 1.0 / rate))


def cut(data: bytes, pieces: Sizes) -> list[bytes]:
    found = []
    for size in pieces:
        found.append(data[:size])
        data = data[size:]
    return [*found, data]


def fed(reader: FrameReader, data: bytes, pieces: Sizes) -> list[Message]:
    return [message for piece in cut(data, pieces) for message in reader.read(piece, 0.0)]


pieces = st.lists(st.integers(0, 40) | st.integers(0, 2_000), max_size=12)


@st.composite
def messages(draw: st.DrawFn) -> tuple[list[Message], bytes]:
    """A message, or two with a control frame between its fragments, and its bytes."""
    opcode = draw(st.sampled_from([TEXT, BINARY, PING, PONG]))
    most = 125 if opcode > BINARY else LIMIT
    payload = b"\xa5" * draw(st.sampled_from([0, 1, 125, min(126, most), most]))
    if opcode > BINARY or draw(st.booleans()):
        return [(opcode, payload)], frame(opcode, payload)
    at = draw(st.integers(0, len(payload)))
    parts = [payload[:at], b"", payload[at:]]
    data = frame(opcode, parts[0], fin=False) + frame(PING, b"between") + frame(CONTINUATION, parts[1], fin=False)
    return [(PING, b"between"), (opcode, payload)], data + frame(CONTINUATION, parts[2])


@given(st.lists(messages(), max_size=6), pieces)
def test_messages_are_read_however_their_bytes_are_cut(sent: list[tuple[list[Message], bytes]], where: Sizes) -> None:
    reader = new_reader()
    assert fed(reader, b"".join(data for _, data in sent), where) == [each for found, _ in sent for each in found]
    assert reader.between_frames


# --- another reader of the same standard ----------------------------------------------------------------------


def masked(data: bytes, mask: bytes) -> bytes:
    """The same frame under another mask than zeros."""
    start = {126: 4, 127: 10}.get(data[1] & 0x7F, 2)
    payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data[start + 4 :]))
    return data[:start] + mask + payload if data[1] & 0x80 else data


payloads = st.sampled_from([b"", b"x", b"\x03\xe8", b"\x03\xe8good", b"\x03\xe8\xff", b"\x03\xee", b"y" * 126]) | (
    st.binary(max_size=130) | st.sampled_from([LIMIT // 2, LIMIT, LIMIT + 1]).map(bytes)
)
usual = st.builds(frame, st.sampled_from([TEXT, BINARY, CONTINUATION, PING, PONG]), payloads, fin=st.booleans())
unusual = st.builds(
    frame,
    st.integers(0, 15),
    payloads.filter(lambda payload: payload[:2] < b"\x13\x88"),  # RFC 6455 says nothing of close codes from 5000 on
    fin=st.booleans(),
    masked=st.sampled_from([True, True, True, False]),
    reserved=st.sampled_from([0, 0, 0, 0x10, 0x20, 0x40]),
)
masks = st.binary(min_size=4, max_size=4)
in_turn = st.lists(st.builds(masked, st.just(frame(TEXT)) | usual | unusual, masks), max_size=12)


def of_websockets(data: bytes) -> tuple[list[Message], int | None]:
    """What the reader of ``websockets`` makes of the bytes: messages up to the close frame, and why it failed."""
    protocol = Protocol(Side.SERVER, state=OPEN, max_size=LIMIT)
    protocol.receive_data(data)
    found: list[Message] = []
    begun: list[Frame] = []
    for event in protocol.events_received():
        assert isinstance(event, Frame)
        if event.opcode > BINARY:
            found.append((int(event.opcode), bytes(event.data)))
        else:
            begun.append(event)
            if event.fin:
                found.append((int(begun[0].opcode), b"".join(bytes(each.data) for each in begun)))
                begun = []
    match protocol.parser_exc:
        case None | EOFError():
            return found, None
        case ProtocolError():
            return found, 1002
        case PayloadTooBig():
            return found, 1009
        case UnicodeDecodeError():
            return found, 1007
        case error:
            raise AssertionError(error)


CODES = {
    Failure.UNMASKED: 1002,
    Failure.MALFORMED: 1002,
    Failure.BAD_CLOSE_CODE: 1002,
    Failure.BAD_CLOSE_REASON: 1007,
    Failure.TOO_LARGE: 1009,
}


@given(in_turn, pieces)
@example([frame(TEXT, b"a", fin=False), frame(PING), frame(CONTINUATION, b"b"), frame(CLOSE, b"\x03\xe8")], [1] * 30)
@example([frame(TEXT, bytes(LIMIT // 2), fin=False), frame(CONTINUATION, bytes(LIMIT // 2 + 1))], [])
def test_it_reads_and_refuses_what_the_reader_of_websockets_does(frames: list[bytes], where: Sizes) -> None:
    theirs, code = of_websockets(b"".join(frames))
    reader = new_reader()
    ours = fed(reader, b"".join(frames), where)
    if any(opcode == CLOSE for opcode, _ in [*theirs, *ours]):
        # Theirs reads nothing after a close frame; what is after it is the owner's affair with ours.
        end = next(number for number, (opcode, _) in enumerate(ours, 1) if opcode == CLOSE)
        assert ours[:end] == theirs
        return
    assert ours == theirs
    mine = None if reader.failure is None else CODES[reader.failure]
    # Of a frame that is too large and malformed as well either may be said.
    assert mine == code or {mine, code} == {1002, 1009}


@pytest.mark.parametrize("size", [65_535, 65_536, 131_072])
@pytest.mark.parametrize("piece", [1_000, 65_536, 10**6])
def test_large_messages_are_read_under_any_mask(size: int, piece: int) -> None:
    payload = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    data = masked(frame(BINARY, payload), b"\x01\x80\xff\x00")
    reader = new_reader(limit=131_072)
    assert fed(reader, data, [piece] * (len(data) // piece)) == [(BINARY, payload)]


def test_a_large_message_byte_by_byte_keeps_each_byte_once() -> None:
    """Ten times the bytes are ten times the work, not a hundred times: what is there is not copied at each of them."""
    reader, data = new_reader(limit=131_072), frame(BINARY, bytes(131_072))
    for piece in (data[:-1_001], data[-1_001:-1_000]):  # the buffer grows ahead, by an eighth
        assert reader.read(piece, 0.0) == []
    tracemalloc.start()
    for at in range(len(data) - 1_000, len(data) - 1):
        assert reader.read(data[at : at + 1], 0.0) == []
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 40_000, "the buffer was copied"
    assert reader.read(data[-1:], 0.0) == [(BINARY, bytes(131_072))]


# --- refusals -------------------------------------------------------------------------------------------------


@given(st.lists(messages(), max_size=4), st.sampled_from(["one", "pieces"]), st.integers(1, 70_000), pieces)
def test_what_is_too_large_is_refused_at_its_header(
    before: list[tuple[list[Message], bytes]], how: str, more: int, where: Sizes
) -> None:
    large = frame(TEXT, b"x" * (LIMIT + more))
    if how == "pieces":
        large = frame(TEXT, b"x" * LIMIT, fin=False) + frame(CONTINUATION, b"x" * more, fin=False)
    # The first byte of the payload is not there yet.
    begun = large[: len(large) - more - (LIMIT if how == "one" else 0)]
    reader = new_reader()
    found = fed(reader, b"".join(data for _, data in before) + begun, where)
    assert found == [each for messages, _ in before for each in messages]
    assert reader.failure is Failure.TOO_LARGE
    assert reader.read(frame(PING), 0.0) == [], "nothing is read any more"


@pytest.mark.parametrize("head", [b"\x81\xff" + b"\xff" * 8, b"\x81\xff" + (2**63 - 1).to_bytes(8, "big")])
def test_a_size_that_can_not_be_is_too_large(head: bytes) -> None:
    reader = new_reader()
    reader.read(head, 0.0)
    assert reader.failure is Failure.TOO_LARGE


def in_fragments(count: int) -> bytes:
    """A message of empty fragments."""
    return frame(TEXT, fin=False) + frame(CONTINUATION, fin=False) * (count - 2) + frame(CONTINUATION)


@given(pieces)
def test_a_message_has_at_most_so_many_fragments(where: Sizes) -> None:
    reader = new_reader()
    assert fed(reader, in_fragments(MAX_FRAGMENTS) * 2, where) == [(TEXT, b"")] * 2
    assert fed(reader, in_fragments(MAX_FRAGMENTS + 1), where) == []
    assert reader.failure is Failure.TOO_MANY_FRAGMENTS


EVERY_KIND = [
    frame(TEXT, b"x"),
    frame(BINARY),
    frame(TEXT, fin=False) + frame(CONTINUATION),
    frame(PING),
    frame(PONG, b"x"),
    frame(CLOSE),
]


@given(st.lists(st.sampled_from(EVERY_KIND), min_size=1, max_size=60), pieces)
def test_every_frame_counts_whatever_its_kind(frames: list[bytes], where: Sizes) -> None:
    """Each once, however its bytes are cut."""
    count = sum(2 if each == EVERY_KIND[2] else 1 for each in frames)
    reader = new_reader(count)
    fed(reader, b"".join(frames), where)
    assert reader.failure is None
    assert fed(reader, frame(TEXT, b"y"), where) == []
    assert reader.failure is Failure.TOO_MANY_FRAMES


def test_the_rate_is_one_of_time() -> None:
    reader = new_reader(10)
    assert len(reader.read(frame(PING) * 10, 5.0)) == 10
    assert len(reader.read(frame(PING) * 5, 5.5)) == 5
    assert reader.read(frame(PING), 5.55) == []
    assert reader.failure is Failure.TOO_MANY_FRAMES


# --- after a refusal ------------------------------------------------------------------------------------------


def followed(data: bytes, where: Sizes) -> bool | None:
    reader = RefusedReader()
    for piece in cut(data, where):
        if (over := reader.is_over(piece)) is not None:
            return over
    return None


@given(st.lists(st.sampled_from([*EVERY_KIND[:5], frame(TEXT, b"x" * 70_000)]), max_size=5), pieces)
def test_the_clients_close_frame_is_found_however_its_bytes_are_cut(frames: list[bytes], where: Sizes) -> None:
    data = b"".join(frames)
    assert followed(data, where) is None
    assert followed(data + frame(CLOSE, b"\x03\xe8"), where) is True
    assert followed(data + frame(TEXT, masked=False), where) is True


def test_what_goes_on_without_end_after_a_refusal_is_cut_off() -> None:
    assert followed(frame(PING) * FRAMES_AFTER_REFUSAL, []) is None
    assert followed(frame(PING) * (FRAMES_AFTER_REFUSAL + 1), []) is False
