"""Accepts connections at a limited rate.

An event loop accepts until no connection waits: when ten thousand devices reconnect at once it does nothing else for a
second. Here a few are accepted in each iteration of the loop; the others wait in the kernel's backlog, where they cost
nothing, and live sessions and look-ups are served in between. Several are accepted together, because an iteration has a
cost of its own, and what they then need (memberships, for example) is read together too.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import structlog
from aiohttp import web

from server.http.connection import Lobby, connections
from server.runtime.tasks import running

ACCEPTED_PER_TURN = 16
BACKLOG = 4_096
"""Connections that the kernel keeps for us meanwhile (as far as net.core.somaxconn lets it)."""
MAX_CONNECTIONS = 4_096

_RETRY_SECONDS = 0.1
_logger = structlog.get_logger("listening")


class PortInUse(OSError):
    """Another program listens on the port. ``setting`` chooses another one."""

    def __init__(self, host: str, port: int, setting: str) -> None:
        super().__init__(errno.EADDRINUSE, f"can't listen on {host} port {port}: address already in use")
        self.host = host
        self.port = port
        self.setting = setting


def listen(host: str, port: int, setting: str = "--port") -> socket.socket:
    """Open a listening socket; port 0 picks a free one. ``setting`` is what chose the port, for the error.

    Raises PortInUse, or another OSError with a sentence that names the address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        opened = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(host, port, setting) from error
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise OSError(error.errno, f"can't listen on {host} port {port}: {reason}") from error
    opened.setblocking(False)
    return opened


class HttpServer:
    """Serves an application on a listening socket, which it owns."""

    def __init__(
        self,
        application: web.Application,
        listening: socket.socket,
        shutdown_timeout: float = 5,
        max_connections: int = MAX_CONNECTIONS,
        **more: Any,
    ) -> None:
        """``more`` as for aiohttp's connections.

        ``shutdown_timeout`` (seconds): how long requests under way are given at the end. ``max_connections``: live
        sockets are not counted; beyond it quiet ones are closed, and if there are none the kernel's backlog waits.
        """
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=shutdown_timeout)
        self._listening = listening
        self._max_connections = max_connections
        self._more = more
        self._accepting = AsyncExitStack()

    async def start(self) -> str:
        """Begin to accept connections; returns the URL. A failure to accept ends the task that called this."""
        self._accepting.callback(self._listening.close)
        await self._runner.setup()
        lobby = Lobby(self._max_connections)
        work = accept(self._listening, connections(self._runner, lobby, **self._more), lobby.has_room)
        await self._accepting.enter_async_context(running("accepting", work))
        host, port = self._listening.getsockname()[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    async def stop_accepting(self) -> None:
        """Close the listening socket: the kernel refuses new connections. The open ones go on."""
        await self._accepting.aclose()

    async def close(self) -> None:
        """Stop accepting, wait for the requests under way, at most ``shutdown_timeout``, and close every connection."""
        await self.stop_accepting()
        await self._runner.cleanup()


async def accept(
    listening: socket.socket,
    protocol: Callable[[], asyncio.Protocol],
    has_room: Callable[[int], bool] = lambda count: True,
) -> None:
    """Accept connections until cancelled, while more are allowed; each gets a protocol of its own."""
    while True:
        while not has_room(ACCEPTED_PER_TURN):  # noqa: ASYNC110 - quiet seconds pass, which is no event
            await asyncio.sleep(_RETRY_SECONDS)
        try:
            await _readable(listening)
            await _handed_over(protocol, _waiting(listening))
        except OSError as error:
            # Usually no file descriptor is left; or the peer has closed already.
            _logger.warning("could not accept a connection", reason=str(error))
            await asyncio.sleep(_RETRY_SECONDS)


async def _readable(listening: socket.socket) -> None:
    """Return when a connection waits. ``loop.sock_accept`` may lose a connection if it is cancelled."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(listening, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(listening)


def _waiting(listening: socket.socket) -> list[socket.socket]:
    """Accept the waiting connections, up to the limit of one iteration. Raises OSError if none could be accepted."""
    accepted: list[socket.socket] = []
    try:
        while len(accepted) < ACCEPTED_PER_TURN:
            accepted.append(listening.accept()[0])
    except BlockingIOError:
        pass
    except OSError:
        if not accepted:
            raise
    return accepted


async def _handed_over(protocol: Callable[[], asyncio.Protocol], accepted: Sequence[socket.socket]) -> None:
    """Make a transport of each socket, also if cancelled meanwhile, so that every socket is closed by its transport."""
    together = asyncio.gather(*(_transport(protocol, connection) for connection in accepted), return_exceptions=True)
    try:
        outcomes = await asyncio.shield(together)
    except asyncio.CancelledError:
        await together
        raise
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


async def _transport(protocol: Callable[[], asyncio.Protocol], connection: socket.socket) -> None:
    try:
        await asyncio.get_running_loop().connect_accepted_socket(protocol, connection)
    except BaseException:
        connection.close()
        raise
