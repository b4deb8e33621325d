"""The two subprotocols: bytes or text to frames and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgpack

from buzz_client.errors import UnreadableAnswer

Frame = dict[str, Any]
Encoding = Literal["msgpack", "json"]


@dataclass(frozen=True, slots=True)
class Codec:
    """One subprotocol: its name, and how frames are encoded and decoded."""

    subprotocol: str
    encode: Callable[[Mapping[str, Any]], str | bytes]
    _parse: Callable[[str | bytes], Any]

    def decode(self, data: str | bytes) -> Frame:
        """Read one frame.

        Raises UnreadableAnswer if it is not in this subprotocol, or no map with a ``type``.
        """
        try:
            frame = self._parse(data)
        except (ValueError, TypeError, RecursionError) as error:
            raise UnreadableAnswer(f"a frame from the server is not {self.subprotocol}: {error}") from error
        if not isinstance(frame, dict) or not isinstance(frame.get("type"), str):
            raise UnreadableAnswer("a frame from the server is not a map with a type; is it a Buzz server?")
        return frame


def _encode_json(frame: Mapping[str, Any]) -> str:
    return json.dumps(frame, ensure_ascii=False, separators=(",", ":"))


def _encode_msgpack(frame: Mapping[str, Any]) -> bytes:
    data: bytes = msgpack.packb(frame)
    return data


def _parse_msgpack(data: str | bytes) -> Any:
    if isinstance(data, str):
        raise TypeError("received a text frame instead of a binary one")
    return msgpack.unpackb(data)


CODECS: Mapping[Encoding, Codec] = {
    "msgpack": Codec("buzz.v1.msgpack", _encode_msgpack, _parse_msgpack),
    "json": Codec("buzz.v1.json", _encode_json, json.loads),
}


def encoded_bytes(data: str | bytes) -> int:
    """Return the size of a frame on the wire."""
    return len(data) if isinstance(data, bytes) else len(data.encode())
