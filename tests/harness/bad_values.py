"""Every field of every frame with values that it must not have; and a frame with one of them in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tests.harness.peer import JSON, Frame, chat
from tests.harness.people import BOB, JANE

MISSING = object()
HUGE, NAN = 10**30, float("nan")
NO_STRING: tuple[Any, ...] = (1, 1.5, True, [], {}, [[]])
NO_INTEGER: tuple[Any, ...] = ("1", "", 1.5, NAN, True, [], {}, -(2**70), HUGE)
NO_REF: tuple[Any, ...] = ("r" * 65, "é" * 65, 1.5, True, [], {}, 2**63, -(2**63) - 1, HUGE, NAN)
STEERING: tuple[Any, ...] = ("a\x1b]0;t\x07", "a\nb", "a\x7f", "a\x9b", "a\u2028", "a\u202e", "\u2066a", "\x00")
NO_ID: tuple[Any, ...] = (*NO_INTEGER, 0, -1, 2**63)
NO_PARTY_TYPE: tuple[Any, ...] = (*NO_STRING, None, "", "Person", "PERSON", "people", "App\\Models\\Robot", "\x00")
NO_UUID: tuple[Any, ...] = (
    *NO_STRING, "", "uuid-goes-here", "0" * 32, "g" * 8 + "-0000-4000-8000-000000000000",
    " 00000000-0000-4000-8000-000000000000", "00000000-0000-4000-8000-000000000000\n",
    "{00000000-0000-4000-8000-000000000000}", "0" * 10_000,
)  # fmt: skip

BASE: dict[str, Frame] = {
    "send": {"ref": "r", "activity": chat(JANE, BOB)},
    "received": {"id": 1},
    "typing": {"to": {"type": "person", "id": BOB}},
    "refresh": {"token": "x"},
    "ping": {},
}


class Case(NamedTuple):
    """One field of one frame, by its path, and what it must not be."""

    type: str
    path: tuple[str, ...]
    values: tuple[Any, ...]


CASES = (
    Case("send", ("ref",), (MISSING, None, *NO_REF)),
    Case("send", ("activity",), (MISSING, None, "", 1, [], {}, [chat(JANE, BOB)])),
    Case("send", ("activity", "type"), (MISSING, None, "", "chat", "CHAT_MESSAGE", "chat_message ", *NO_STRING)),
    Case("send", ("activity", "sendable_type"), (MISSING, *NO_PARTY_TYPE)),
    Case("send", ("activity", "receivable_type"), (MISSING, *NO_PARTY_TYPE)),
    Case("send", ("activity", "sendable_id"), (MISSING, None, *NO_ID)),
    Case("send", ("activity", "receivable_id"), (MISSING, None, *NO_ID)),
    Case("send", ("activity", "call_time"), (*NO_INTEGER, -1, 86_401)),
    Case("send", ("activity", "message"), (MISSING, None, "", *NO_STRING, "x" * 65_537, "é" * 32_769)),
    Case("send", ("activity", "message_id"), (MISSING, None, *NO_UUID)),
    Case("send", ("activity", "idempotency_key"), ("", "k" * 256, *NO_STRING)),
    Case("send", ("activity", "mesage"), ("a typo",)),
    Case("send", ("extra",), (1, None)),
    Case("received", ("id",), (MISSING, None, *NO_INTEGER, -1, 2**63)),
    Case("received", ("ref",), NO_REF),
    Case("received", ("extra",), (1, None)),
    Case("typing", ("to",), (MISSING, None, "person:7", 7, [], {}, ["person", 7])),
    Case("typing", ("to", "type"), (MISSING, *NO_PARTY_TYPE)),
    Case("typing", ("to", "id"), (MISSING, None, *NO_ID)),
    Case("typing", ("to", "extra"), (1,)),
    Case("typing", ("ref",), NO_REF),
    Case("refresh", ("token",), (MISSING, None, "x" * 8_193, *NO_STRING)),
    Case("refresh", ("ref",), NO_REF),
    Case("refresh", ("extra",), (1,)),
    Case("ping", ("ref",), NO_REF),
    Case("ping", ("extra",), (1, None)),
)
HELLO = (
    Case("hello", ("token",), ("x" * 8_193, *NO_STRING)),
    Case("hello", ("device_id",), ("", "d" * 65, *NO_STRING, *STEERING)),
    Case("hello", ("client",), (*STEERING, {"name": STEERING[0]}, [{STEERING[1]: 1}])),
    Case("hello", ("last_activity_id",), (*NO_INTEGER, -1, 2**63)),
    Case("hello", ("epoch",), ("e" * 65, *NO_STRING)),
    Case("hello", ("resume_id",), ("s" * 65, *NO_STRING)),
    Case("hello", ("max_frame_bytes",), (*NO_INTEGER, 0, -1, 4_095, 131_073, 2**63)),
    Case("hello", ("ref",), NO_REF),
)
TYPES: tuple[Any, ...] = (MISSING, None, "", "nope", "Hello", "HELLO", "welcome", "activities", 1, True, [], {}, NAN)


def changed(base: Frame, path: tuple[str, ...], value: Any) -> Frame:
    """The frame with another value at the path, or without it."""
    copy, name = dict(base), path[0]
    if len(path) > 1:
        copy[name] = changed(copy[name], path[1:], value)
    elif value is MISSING:
        copy.pop(name, None)
    else:
        copy[name] = value
    return copy


def fitting(values: Sequence[Any], subprotocol: str) -> list[Any]:
    """Those that the encoding can carry: msgpack has no integers beyond 64 bits."""
    return [v for v in values if subprotocol == JSON or type(v) is not int or -(2**63) <= v < 2**64]


def is_nan(value: Any) -> bool:
    return value != value


def shown(value: Any) -> str:
    return "missing" if value is MISSING else f"{value!r:.60}"
