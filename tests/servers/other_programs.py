"""Programs that listen where a server of Buzz, or a receiver of its webhooks, was expected."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from tests.harness.serving import accept_no_more

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Let ``serve`` handle each connection until the block ends; yields ``host:port``."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    sockets = server.sockets
    async with server:
        try:
            yield f"127.0.0.1:{sockets[0].getsockname()[1]}"
        finally:
            await accept_no_more(sockets)


async def is_not_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a request in another protocol."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"SSH-2.0-other\r\n\r\n")
    writer.close()


async def answers_at_once(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with HTTP before anything was asked: to a client that expects TLS too."""
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    writer.close()
