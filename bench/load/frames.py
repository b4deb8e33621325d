"""The frames of `docs/protocol.md` that the load sends and reads, with as little work as possible.

A sent frame is a template with a counter filled in; a received one is decoded by msgspec into the few fields that the
load uses, so that every frame is read and not only counted.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import msgspec

from bench.load import wire

Codec = Literal["msgpack", "json"]
SUBPROTOCOLS: Mapping[Codec, str] = {"msgpack": "buzz.v1.msgpack", "json": "buzz.v1.json"}
BODY_BYTES = 300
SOCKET_PATH = "/apps/buzz/socket"


class Welcome(msgspec.Struct, tag="welcome", gc=False):
    head_id: int


class Ack(msgspec.Struct, tag="ack", gc=False):
    ref: str | int
    id: int
    duplicate: bool = False


class Pushed(msgspec.Struct, gc=False):
    """The fields of an activity that the load uses."""

    id: int
    message_id: str | None = None


class Activities(msgspec.Struct, tag="activities", gc=False):
    activities: list[Pushed]


class CaughtUp(msgspec.Struct, tag="caught_up", gc=False):
    id: int


class Refused(msgspec.Struct, tag="error", gc=False):
    code: str
    message: str


class Event(msgspec.Struct, tag="event", gc=False):
    name: str


class Reconnect(msgspec.Struct, tag="reconnect", gc=False):
    after_ms: int


class Pong(msgspec.Struct, tag="pong", gc=False):
    pass


Frame = Welcome | Ack | Activities | CaughtUp | Refused | Event | Reconnect | Pong
FRAME_DECODERS: Mapping[Codec, msgspec.json.Decoder[Frame] | msgspec.msgpack.Decoder[Frame]] = {
    "json": msgspec.json.Decoder(Frame),
    "msgpack": msgspec.msgpack.Decoder(Frame),
}


def encode(codec: Codec, payload: Mapping[str, object]) -> bytes:
    """Encode a whole client frame."""
    if codec == "json":
        return wire.frame(wire.TEXT, msgspec.json.encode(payload))
    return wire.frame(wire.BINARY, msgspec.msgpack.encode(payload))


def hello(codec: Codec, token: str, *, last_activity_id: int | None = None) -> bytes:
    payload: dict[str, object] = {"type": "hello", "token": token}
    if last_activity_id is not None:
        payload["last_activity_id"] = last_activity_id
    return encode(codec, payload)


@lru_cache(maxsize=100_000)
def ciphertext(seed: int) -> str:
    """Return 300 bytes as an app sends them: base64 of random-looking bytes."""
    return base64.b64encode(random.Random(seed).randbytes(BODY_BYTES * 3 // 4)).decode()


_COUNTER_MARK = "c0ffee5eed00"  # twelve characters: the last group of a UUID
UUID_START = "b0220000-0000-4000-8000-"


@dataclass(frozen=True, slots=True)
class SendTemplate:
    """A `send` frame whose `message_id` and `ref` end in a counter of twelve hexadecimal digits."""

    template: bytes

    def number(self, counter: int) -> bytes:
        digits = b"%012x" % counter
        return self.template % (digits, digits)


def send_template(codec: Codec, sender: int, receiver: int, *, to_company: bool = False) -> SendTemplate:
    activity: dict[str, object] = {
        "type": "chat_message",
        "receivable_type": "company" if to_company else "person",
        "receivable_id": receiver,
        "sendable_type": "person",
        "sendable_id": sender,
        "message": ciphertext(sender),
        "message_id": UUID_START + _COUNTER_MARK,
    }
    whole = encode(codec, {"type": "send", "ref": _COUNTER_MARK, "activity": activity})
    return SendTemplate(whole.replace(b"%", b"%%").replace(_COUNTER_MARK.encode(), b"%b"))


def counter_of(message_id: str) -> int:
    """Return the counter that `SendTemplate.number` put into a message id."""
    return int(message_id[-12:], 16)
