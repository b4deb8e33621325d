"""Buzz's own HTTP server with any application, and plain connections to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from server.http.listening import HttpServer, listen

WAIT_SECONDS = 20


@asynccontextmanager
async def http_server(application: web.Application, shutdown_timeout: float = 5, **more: Any) -> AsyncIterator[int]:
    """Serve an application until the block ends; yields the port. ``more`` as for :class:`HttpServer`."""
    server = HttpServer(application, listen("127.0.0.1", 0), shutdown_timeout, **more)
    try:
        yield int((await server.start()).rpartition(":")[2])
    finally:
        await server.close()


@asynccontextmanager
async def client(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect to a port; the block may take :data:`WAIT_SECONDS`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            yield reader, writer
    finally:
        writer.close()
