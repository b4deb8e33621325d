"""Accepting connections at a pace.

An event loop accepts until nobody waits any more: when ten thousand devices come back at once it does nothing else for
a second. Here a few are accepted in each turn of the loop; the others wait in the kernel's backlog, where they cost
nothing, and live sessions and look-ups go on in between. They are accepted together: a turn has a price of its own, and
what they then ask for (memberships, say) is read together too.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog
from aiohttp import web

from server.http_connection import Lobby, connections
from server.tasks import running

ACCEPTED_PER_TURN = 16
BACKLOG = 4_096
"""Connections that the kernel keeps for us meanwhile (as far as net.core.somaxconn lets it)."""
MAX_CONNECTIONS = 4_096

_RETRY_SECONDS = 0.1
_log = structlog.get_logger("listening")


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 picks a free one. Raises OSError with a sentence that names the address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        opened = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise OSError(error.errno, f"can't listen on {host} port {port}: {reason}") from error
    opened.setblocking(False)
    return opened


@asynccontextmanager
async def served(
    application: web.Application,
    listening: socket.socket,
    shutdown_timeout: float = 5,
    max_connections: int = MAX_CONNECTIONS,
    **more: Any,
) -> AsyncIterator[str]:
    """Serve an application on a listening socket until the block ends; its URL. ``more`` as for aiohttp's connections.

    ``shutdown_timeout`` (seconds): how long requests under way are given at the end. ``max_connections``: live sockets
    are not counted; beyond it quiet ones are closed, and if there are none the kernel's backlog waits.
    """
    with listening:
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=shutdown_timeout)
        await runner.setup()
        try:
            lobby = Lobby(max_connections)
            async with running("accepting", accept(listening, connections(runner, lobby, **more), lobby.has_room)):
                host, port = listening.getsockname()[:2]
                yield f"http://{f'[{host}]' if ':' in host else host}:{port}"
        finally:
            await runner.cleanup()


async def accept(
    listening: socket.socket,
    protocol: Callable[[], asyncio.Protocol],
    has_room: Callable[[int], bool] = lambda count: True,
) -> None:
    """Accept until cancelled, while there is room for so many more; each connection gets a protocol of its own."""
    loop = asyncio.get_running_loop()
    while True:
        while not has_room(ACCEPTED_PER_TURN):  # noqa: ASYNC110 - quiet seconds pass, which is no event
            await asyncio.sleep(_RETRY_SECONDS)
        try:
            first, _ = await loop.sock_accept(listening)
            accepted = [first, *_waiting(listening)]
            begun = [loop.connect_accepted_socket(protocol, connection) for connection in accepted]
            faults = []
            for connection, outcome in zip(accepted, await _whole(begun), strict=True):
                if isinstance(outcome, BaseException):
                    connection.close()
                    faults.append(outcome)
            if faults:
                raise faults[0]
        except OSError as error:
            # Out of descriptors, mostly; or the peer has gone again.
            _log.warning("could not accept a connection", reason=str(error))
            await asyncio.sleep(_RETRY_SECONDS)


def _waiting(listening: socket.socket) -> Iterator[socket.socket]:
    """Those that wait now, as far as this turn takes them. What went wrong is told when the next one is accepted."""
    with suppress(OSError):
        for _ in range(ACCEPTED_PER_TURN - 1):
            yield listening.accept()[0]


async def _whole(begun: Sequence[Coroutine[Any, Any, object]]) -> list[object]:
    """What has come of each. If we are cancelled they are waited for first: each socket then has one who closes it."""
    together = asyncio.gather(*begun, return_exceptions=True)
    try:
        return await asyncio.shield(together)
    except asyncio.CancelledError:
        await together
        raise
