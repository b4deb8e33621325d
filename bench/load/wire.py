"""Websocket bytes on the client's side (RFC 6455 section 5), and the HTTP request that opens one.

The client's mask is always zero: section 5.3 requires a mask, and with this one the payload is sent unchanged, which
saves the load a pass over every frame. The server unmasks as usual.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Final

TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

_FINAL_FRAME: Final = 0x80
_MASKED: Final = 0x80
_ZERO_MASK: Final = b"\0\0\0\0"
# Any 16 bytes are valid as a key: the load trusts its server, and with one key for all the answer need not be checked.
_KEY: Final = base64.b64encode(b"buzz-bench-load!").decode()


def header(opcode: int, length: int) -> bytes:
    """Return the header of one whole client frame whose payload has `length` bytes."""
    first = _FINAL_FRAME | opcode
    if length < 126:
        return bytes((first, _MASKED | length)) + _ZERO_MASK
    if length < 65536:
        return bytes((first, _MASKED | 126)) + length.to_bytes(2, "big") + _ZERO_MASK
    return bytes((first, _MASKED | 127)) + length.to_bytes(8, "big") + _ZERO_MASK


def frame(opcode: int, payload: bytes) -> bytes:
    return header(opcode, len(payload)) + payload


def upgrade_request(host: str, port: int, path: str, *, subprotocols: Sequence[str] = (), token: str = "") -> bytes:
    """Return the request of section 4.1, with `Authorization` if there is a token."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}:{port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {_KEY}",
    ]
    if subprotocols:
        lines.append(f"Sec-WebSocket-Protocol: {', '.join(subprotocols)}")
    if token:
        lines.append(f"Authorization: Bearer {token}")
    return "\r\n".join([*lines, "", ""]).encode()


class FrameSplitter:
    """Splits a server's bytes into frames. A server's frames are not masked and, here, never fragmented."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def split(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return the frames that `data` completes, as (opcode, payload)."""
        if self._rest:
            data = self._rest + data
        frames: list[tuple[int, bytes]] = []
        position, end = 0, len(data)
        while end - position >= 2:
            length, start = data[position + 1], position + 2
            if length == 126:
                start += 2
                length = int.from_bytes(data[position + 2 : start], "big") if end >= start else end
            elif length == 127:
                start += 8
                length = int.from_bytes(data[position + 2 : start], "big") if end >= start else end
            stop = start + length
            if stop > end:
                break
            frames.append((data[position] & 0x0F, data[start:stop]))
            position = stop
        self._rest = data[position:]
        return frames
