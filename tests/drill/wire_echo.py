"""Two servers that give back what they get: Buzz's socket with its session taken out, and one that checks nothing."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from unittest.mock import patch

from protocol.codec import JSON, MSGPACK, Undecodable
from server.socket.connection import Connection, Work
from tests.harness.raw_socket import BINARY, CLOSE, PING, PONG, TEXT
from tests.harness.raw_socket import frame as client_frame
from tests.harness.world import open_world

_KEY_SALT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


class Echo(Connection):
    """A socket that never says hello: its upgrade, its reading, its limits and its end are those of all others."""

    def _handle(self, opcode: int, payload: bytes) -> Work | None:
        if opcode in (TEXT, BINARY):
            self._codec = JSON if opcode == TEXT else MSGPACK
        return super()._handle(opcode, payload)

    def _hello(self, payload: bytes) -> Work | None:
        self._return(payload)
        return None

    def _return(self, data: bytes) -> None:
        if not self._codec.binary:
            try:
                data.decode()
            except UnicodeDecodeError as error:
                raise Undecodable("not UTF-8") from error  # as the codec does
        head = client_frame(2 if self._codec.binary else TEXT, data, masked=False)
        self.wire.write([head])


@asynccontextmanager
async def buzz_echo(data_dir: Path) -> AsyncIterator[str]:
    """A node whose route of the socket echoes. Its address."""
    with patch("server.socket.endpoint.Connection", Echo):
        async with open_world(data_dir, frame_rate_limit=1_000_000, hello_timeout_seconds=600) as world:
            yield world.url


@asynccontextmanager
async def careless_echo() -> AsyncIterator[str]:
    """The control: it reads no more of a frame than it needs to find its end."""
    tasks = set[asyncio.Task[None]]()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_careless(reader, writer), name="careless echo")
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def _careless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, asyncio.IncompleteReadError):
        head = await reader.readuntil(b"\r\n\r\n")
        key = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")).split()[1]
        accept = base64.b64encode(hashlib.sha1(key + _KEY_SALT).digest())
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
        writer.write(b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        opcode = CLOSE + 1
        while opcode != CLOSE:
            first, size = await reader.readexactly(2)
            masked, size = size >= 0x80, size & 0x7F
            if size >= 126:
                size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
            mask = await reader.readexactly(4) if masked else b"\0\0\0\0"
            data = bytes(byte ^ mask[at % 4] for at, byte in enumerate(await reader.readexactly(size)))
            opcode = first & 0x0F
            writer.write(client_frame(PONG if opcode == PING else opcode, data, fin=first >= 0x80, masked=False))
    writer.close()
