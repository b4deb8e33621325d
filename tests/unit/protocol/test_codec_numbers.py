"""Numbers as JavaScript's msgpack packages write them: an integer beyond 32 bits may come as a float64."""

import struct

import msgpack
import pytest

from protocol.codec import MSGPACK, BadFrame
from protocol.frames import Received, Send

MESSAGE_ID = "3f0c8a52-9a57-4f2e-9a53-0c8d2c8f6f11"


@pytest.mark.parametrize("id", [0, 2**32, 2**40, 2**53])
def test_an_id_packed_as_a_float_is_read_as_the_integer_that_it_is(id: int) -> None:
    frame = MSGPACK.decode(msgpack.packb({"type": "received", "id": float(id)}))
    assert frame == Received(id)
    assert type(frame.id) is int  # type: ignore[union-attr]


def test_floats_inside_the_activity_are_read_as_well() -> None:
    activity = {
        "type": "chat_message",
        "sendable_type": "person",
        "sendable_id": float(2**40),
        "receivable_type": "company",
        "receivable_id": 7,
        "message": "text",
        "message_id": MESSAGE_ID,
    }
    frame = MSGPACK.decode(msgpack.packb({"type": "send", "ref": float(2**33), "activity": activity}))
    assert isinstance(frame, Send)
    assert (frame.ref, frame.activity.sendable_id) == (2**33, 2**40)


def test_the_bytes_that_msgpackr_writes_are_taken() -> None:
    # {type: "received", id: 2 ** 40} by msgpackr: a map16, and the id as a float64.
    data = b"\xde\x00\x02\xa4type\xa8received\xa2id\xcb" + struct.pack(">d", 2.0**40)
    assert MSGPACK.decode(data) == Received(2**40)


@pytest.mark.parametrize("number", [1.5, -1.0, 2.0**54, float("nan"), float("inf")])
def test_a_float_that_is_no_exact_id_is_refused(number: float) -> None:
    with pytest.raises(BadFrame, match="'id'"):
        MSGPACK.decode(msgpack.packb({"type": "received", "id": number}))


def test_another_fault_is_named_as_before() -> None:
    with pytest.raises(BadFrame, match="Unknown parameter: 'idd'"):
        MSGPACK.decode(msgpack.packb({"type": "received", "id": 1.0, "idd": 2}))


@pytest.mark.parametrize("value", [msgpack.ExtType(0, b"\0"), msgpack.ExtType(5, b"abcd")])
def test_an_extension_is_called_so(value: msgpack.ExtType) -> None:
    """msgpackr writes one for ``undefined``."""
    with pytest.raises(BadFrame, match="'device_id': should be a string, not Extension"):
        MSGPACK.decode(msgpack.packb({"type": "hello", "token": "a token", "device_id": value}))
