"""The load's own reading and writing of the wire, against a library's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from bench.load import wire
from bench.load.frames import counter_of, send_template
from bench.load.http import ChunkedBody

SIZES = [0, 1, 125, 126, 65_535, 65_536]


def parsed(data: bytes) -> Frame:
    """One client frame as `websockets` reads it."""
    reader = StreamReader()
    reader.feed_data(data)
    parsing = Frame.parse(reader.read_exact, mask=True)
    with pytest.raises(StopIteration) as stopped:
        next(parsing)
    frame = stopped.value.value
    assert isinstance(frame, Frame)
    return frame


@pytest.mark.parametrize("size", SIZES)
def test_a_client_frame_is_read_as_it_was_meant(size: int) -> None:
    frame = parsed(wire.frame(wire.BINARY, b"x" * size))
    assert (frame.opcode, bytes(frame.data), frame.fin) == (Opcode.BINARY, b"x" * size, True)


@given(st.lists(st.sampled_from(SIZES), min_size=1, max_size=6), st.data())
def test_frames_come_out_whole_wherever_the_stream_is_cut(sizes: list[int], data: st.DataObject) -> None:
    frames = [Frame(Opcode.TEXT, bytes([number]) * size) for number, size in enumerate(sizes)]
    stream = b"".join(frame.serialize(mask=False) for frame in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    splitter, found = wire.FrameSplitter(), []
    for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += splitter.split(stream[start:stop])
    assert found == [(wire.TEXT, bytes(frame.data)) for frame in frames]


@pytest.mark.parametrize("codec", ["msgpack", "json"])
def test_a_numbered_send_carries_its_counter_twice(codec: str) -> None:
    template = send_template("json" if codec == "json" else "msgpack", 1, 2)
    payload = bytes(parsed(template.number(0xABC)).data)
    assert payload.count(b"000000000abc") == 2
    assert counter_of("b0220000-0000-4000-8000-000000000abc") == 0xABC
    assert len(template.number(0)) == len(template.number(2**48 - 1))


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=5), st.data())
def test_a_body_in_chunks_comes_out_whole_wherever_it_is_cut(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    body, found = ChunkedBody(), b""
    for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += b"".join(body.feed(stream[start:stop]))
    assert found == b"".join(parts)
    assert body.ended
