"""A websocket with full control of the bytes on the wire, valid or not (RFC 6455, section 5.2)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgpack

from tests.harness.peer import MSGPACK, WAIT_SECONDS

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


class RawFrame(NamedTuple):
    """One frame as it arrived."""

    opcode: int
    payload: bytes


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = True, reserved: int = 0) -> bytes:
    """Return one frame's bytes. ``reserved``: the three reserved bits (0x70)."""
    first = (0x80 if fin else 0) | reserved | opcode
    mark, size = (0x80 if masked else 0), len(payload)
    if size < 126:
        head = bytes((first, mark | size))
    elif size < 65_536:
        head = bytes((first, mark | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, mark | 127)) + size.to_bytes(8, "big")
    # A mask of zeros leaves the payload readable here and is as valid as any other.
    return head + (b"\0\0\0\0" if masked else b"") + payload


class RawSocket:
    """An upgraded connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, binary: bool) -> None:
        self._reader = reader
        self._writer = writer
        self._kind = BINARY if binary else TEXT

    async def write(self, *data: bytes) -> None:
        self._writer.write(b"".join(data))
        await self._writer.drain()

    async def send(self, value: dict[str, Any]) -> None:
        payload = msgpack.packb(value) if self._kind == BINARY else json.dumps(value).encode()
        await self.write(frame(self._kind, payload))

    async def read(self) -> RawFrame | None:
        """Return the next frame, or None at the end of the connection."""
        async with asyncio.timeout(WAIT_SECONDS):
            try:
                first, size = await self._reader.readexactly(2)
                assert size < 0x80, "a server never masks"
                if size == 126:
                    size = int.from_bytes(await self._reader.readexactly(2), "big")
                elif size == 127:
                    size = int.from_bytes(await self._reader.readexactly(8), "big")
                return RawFrame(first & 0x0F, await self._reader.readexactly(size))
            except (asyncio.IncompleteReadError, ConnectionError):
                return None

    async def value(self) -> dict[str, Any]:
        """Return the next data frame, decoded."""
        while (found := await self.read()) is not None:
            if found.opcode in (TEXT, BINARY):
                value = msgpack.unpackb(found.payload) if found.opcode == BINARY else json.loads(found.payload)
                assert isinstance(value, dict)
                return value
        raise AssertionError("the connection ended")

    async def close_code(self) -> int | None:
        """Read to the end; the close frame's code, or None if there was none. Nothing may come after a close frame."""
        code = None
        while (found := await self.read()) is not None:
            assert code is None, f"a frame after the close frame: {found!r:.80}"
            if found.opcode == CLOSE:
                code = int.from_bytes(found.payload[:2], "big")
                await self.write(frame(CLOSE, found.payload[:2]))
        return code


@asynccontextmanager
async def raw_socket(url: str, subprotocol: str) -> AsyncIterator[RawSocket]:
    """Connect and send the upgrade request."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(
            f"GET /apps/buzz/socket HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Protocol: {subprotocol}\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n".encode()
        )
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert head.startswith(b"http/1.1 101"), head
        assert b"sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=" in head
        assert b"sec-websocket-extensions" not in head, "compression is not negotiated"
        yield RawSocket(reader, writer, subprotocol == MSGPACK)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
