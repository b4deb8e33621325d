"""Serves an application of aiohttp on loopback, for clients that connect at any time, even while it closes."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from aiohttp import web


@asynccontextmanager
async def served(application: web.Application, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve it until the block ends, with TLS if there is a ``context``; yields the URL."""
    listening = socket.create_server(("127.0.0.1", 0))
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.SockSite(runner, listening, ssl_context=context).start()
    scheme = "https" if context else "http"
    try:
        yield f"{scheme}://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        await accept_no_more([listening])
        await runner.cleanup()


async def accept_no_more(listening: Iterable[socket.socket]) -> None:
    """Stop accepting, and let the connections that were accepted a moment ago begin.

    asyncio makes a connection's transport in the turn after it was accepted. If its server is closed in between, the
    transport's constructor fails and the connection is never closed: a ResourceWarning in whichever test runs then.
    """
    for each in listening:
        asyncio.get_running_loop().remove_reader(each)
    for _turn in ("transport", "connection_made"):
        await asyncio.sleep(0)
