"""Unread HTTP responses: a connection that stops reading after the head, and may continue later."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

from tests.harness.peer import WAIT_SECONDS

_RECEIVE_BYTES = 32 * 1024
_SEGMENT_BYTES = 1_400
"""As on the internet: on loopback a segment has 64 KiB, and who sends would keep twenty of them for one connection."""
_BUFFER_BYTES = 8 * 1024


class Unread:
    """One response: its status and headers, and the rest, which is not read yet."""

    def __init__(self, reader: asyncio.StreamReader, status: int, headers: Mapping[str, str]) -> None:
        self._reader = reader
        self.status = status
        self.headers = headers

    async def rest(self, seconds: float = WAIT_SECONDS) -> bytes:
        """Read on to the end of the body.

        Raises IncompleteReadError or ConnectionError if the server closed it early.
        """
        async with asyncio.timeout(seconds):
            if self.headers.get("transfer-encoding") != "chunked":
                return await self._reader.readexactly(int(self.headers["content-length"]))
            chunks = []
            while size := int((await self._reader.readuntil(b"\r\n")).strip(), 16):
                chunks.append(await self._reader.readexactly(size))
                await self._reader.readexactly(2)
            return b"".join(chunks)


@asynccontextmanager
async def unread(
    url: str,
    path: str,
    token: str,
    accepted: str = "identity",
    *,
    tls: ssl.SSLContext | None = None,
    host: str | None = None,
) -> AsyncIterator[Unread]:
    """Request a path and read only the head of the response; of its body no more than the buffers hold.

    ``host``: where to connect, if it is not where the URL leads.
    """
    parts = urlsplit(url)
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _SEGMENT_BYTES)
    opened.setblocking(False)
    await asyncio.get_running_loop().sock_connect(opened, (host or parts.hostname, parts.port))
    name = parts.hostname if tls is not None else None
    reader, writer = await asyncio.open_connection(sock=opened, limit=_BUFFER_BYTES, ssl=tls, server_hostname=name)
    try:
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {token}\r\n"
            f"Accept-Encoding: {accepted}\r\n\r\n".encode()
        )
        async with asyncio.timeout(WAIT_SECONDS):
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        fields = (line.partition(":") for line in lines if line)
        headers = {name.lower(): value.strip() for name, _, value in fields}
        yield Unread(reader, int(first.split()[1]), headers)
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()
