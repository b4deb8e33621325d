"""What a script's frames look like on the wire: both subprotocols, and websocket frames as bytes."""

from __future__ import annotations

import json
from typing import Any

import msgpack

Frame = dict[str, Any]

SUBPROTOCOLS = {"json": "buzz.v1.json", "msgpack": "buzz.v1.msgpack"}
_NAMES = {7: "Jane", 8: "Bob"}
_TEXT, _BINARY, _FINAL = 0x1, 0x2, 0x80


def encode(encoding: str, frame: Frame) -> bytes:
    """Return the frame's payload."""
    packed: bytes = msgpack.packb(frame) if encoding == "msgpack" else json.dumps(frame).encode()
    return packed


def decode(encoding: str, data: str | bytes) -> Frame:
    """Read a client's frame. Raises ValueError if it is not in this encoding, or is no map."""
    if isinstance(data, str) != (encoding == "json"):
        raise ValueError(f"a frame of the wrong kind for {encoding}")
    frame = msgpack.unpackb(data) if isinstance(data, bytes) else json.loads(data)
    if not isinstance(frame, dict):
        raise ValueError("a frame that is no map")
    return frame


def websocket_frames(encoding: str, payload: bytes, pieces: int = 1) -> bytes:
    """Return a message in that many websocket frames (RFC 6455, section 5.2; a server's are not masked)."""
    size = -(-len(payload) // pieces)
    chunks = [payload[start : start + size] for start in range(0, len(payload), size)] or [b""]
    first = _BINARY if encoding == "msgpack" else _TEXT
    return b"".join(
        _header((first if number == 0 else 0) | (_FINAL if number == len(chunks) - 1 else 0), len(chunk)) + chunk
        for number, chunk in enumerate(chunks)
    )


def _header(first_byte: int, size: int) -> bytes:
    if size < 126:
        return bytes((first_byte, size))
    if size < 65_536:
        return bytes((first_byte, 126)) + size.to_bytes(2, "big")
    return bytes((first_byte, 127)) + size.to_bytes(8, "big")


def expanded(frame: Frame) -> Frame:
    """Return a script's frame with its activities written out."""
    if frame.get("type") != "activities":
        return frame
    return frame | {"activities": rows(frame["activities"])}


def rows(given: Any) -> list[Frame]:
    """Return activities as the server shows them: from ids, from maps with an id, or from ``{"from": 1, "to": 9}``."""
    if isinstance(given, dict):
        given = list(range(given["from"], given["to"] + 1))
    return [row({"id": each} if isinstance(each, int) else each) for each in given]


def row(fields: Frame) -> Frame:
    """Return a message from person 8 to person 7, with these fields instead."""
    given: Frame = {
        "type": "chat_message",
        "receivable_type": "AppModelsPerson",
        "receivable_id": 7,
        "sendable_type": "AppModelsPerson",
        "sendable_id": 8,
        "call_time": None,
        "message": f"m{fields.get('id')}",
        "message_id": f"00000000-0000-4000-8000-{int(fields.get('id') or 0):012d}"[:36],
        "created_at": "2024-07-05T12:14:45Z",
        **fields,
    }
    return {**given, "sendable": _person(given["sendable_id"]), "receivable": _person(given["receivable_id"])}


def _person(person_id: int) -> Frame:
    return {"id": person_id, "first_name": _NAMES.get(person_id, "?"), "middle_name": None, "last_name": "Doe"}
