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
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from typing import Any

import structlog
from aiohttp import web

from server.http.connection import IDLE_SECONDS, NEW_SECONDS, Lobby, connections
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


def listen(host: str, port: int, setting: str = "--port", *, shared: bool = False) -> socket.socket:
    """Open a listening socket; port 0 picks a free one. ``setting`` is what chose the port, for the error.

    ``shared``: other processes of this user listen on it as well; the kernel spreads connections over them.

    Raises PortInUse, or another OSError with a sentence that names the address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        opened = socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=shared)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(host, port, setting) from error
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise OSError(error.errno, f"can't listen on {host} port {port}: {reason}") from error
    opened.setblocking(False)
    # The connections that it accepts have these options too, without system calls of their own.
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return opened


@contextmanager
def reserve(host: str, port: int) -> Iterator[int]:
    """Keep a port for processes that share it, without listening; yields its number, a free one for 0.

    Raises as :func:`listen`, also if processes that share it among themselves have it already.
    """
    with listen(host, port) as free:
        number = int(free.getsockname()[1])
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as kept:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        kept.bind((host, number))
        yield number


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
        self._lobby = Lobby(max_connections, min(NEW_SECONDS, more.get("keepalive_timeout", IDLE_SECONDS)))
        self._more = more
        self._accepting = AsyncExitStack()

    async def start(self) -> str:
        """Begin to accept connections; returns the URL. A failure to accept ends the task that called this."""
        self._accepting.callback(self._listening.close)
        await self._runner.setup()
        lobby = self._lobby
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
        self._lobby.dismiss()
        await self._runner.cleanup()


async def accept(
    listening: socket.socket,
    protocol: Callable[[], asyncio.Protocol],
    has_room: Callable[[int], bool] = lambda count: True,
) -> None:
    """Accept connections until cancelled, while more are allowed; each gets a protocol of its own."""
    accepting = _Accepting(listening, protocol, has_room)
    accepting.begin()
    try:
        await accepting.failed
    finally:
        await accepting.end()


class _Accepting:
    """Accepts in the callback of the listening socket, and starts no task for a connection."""

    def __init__(
        self, listening: socket.socket, protocol: Callable[[], asyncio.Protocol], has_room: Callable[[int], bool]
    ) -> None:
        self._listening = listening
        self._protocol = protocol
        self._has_room = has_room
        self._kind = _accepted_by(listening)
        self._loop = asyncio.get_running_loop()
        self._opening: dict[asyncio.Future[Any], None] = {}
        self._retry: asyncio.TimerHandle | None = None
        self.failed: asyncio.Future[None] = self._loop.create_future()

    def begin(self) -> None:
        self._loop.add_reader(self._listening, self._ready)

    async def end(self) -> None:
        """Accept no more, and wait until every accepted socket has its transport, which then closes it."""
        self._loop.remove_reader(self._listening)
        if self._retry is not None:
            self._retry.cancel()
        if self._opening:
            await asyncio.wait(self._opening)

    def _ready(self) -> None:
        """Accept the connections that wait, up to the limit of one iteration."""
        try:
            if not self._has_room(ACCEPTED_PER_TURN):
                self._pause()
                return
            for connection in _waiting(self._listening, self._kind):
                self._open(connection)
        except OSError as error:
            # Usually no file descriptor is left; or the peer has closed already.
            self._complain(error)
        except Exception as error:  # noqa: BLE001 - ends the task that waits
            self._fail(error)

    def _pause(self) -> None:
        self._loop.remove_reader(self._listening)
        self._retry = self._loop.call_later(_RETRY_SECONDS, self.begin)

    def _complain(self, error: OSError) -> None:
        _logger.warning("could not accept a connection", reason=str(error))
        self._pause()

    def _fail(self, error: Exception) -> None:
        self._loop.remove_reader(self._listening)
        if not self.failed.done():
            self.failed.set_exception(error)

    def _open(self, connection: socket.socket) -> None:
        """Make a transport of a socket. The loop's coroutine is stepped by hand: a task costs more than it does."""
        work = self._loop.connect_accepted_socket(self._protocol, connection)
        try:
            waiting: asyncio.Future[Any] = work.send(None)
        except StopIteration:
            return
        except BaseException:
            connection.close()
            raise
        self._opening[waiting] = None
        waiting.add_done_callback(partial(self._opened, work, connection))

    def _opened(self, work: Coroutine[Any, Any, Any], connection: socket.socket, waiting: asyncio.Future[Any]) -> None:
        self._opening.pop(waiting, None)
        try:
            work.send(None)
        except StopIteration:
            return
        except OSError as error:
            connection.close()
            self._complain(error)
        except Exception as error:  # noqa: BLE001 - as in _ready
            connection.close()
            self._fail(error)


def _accepted_by(listening: socket.socket) -> type[socket.socket]:
    """Return the class of the sockets that it accepts. They know family and type, which ``socket`` makes at each use.

    It makes members of enums, which takes as long as to accept a connection.
    """
    members = {"__slots__": (), "family": listening.family, "type": listening.type}
    return type("AcceptedSocket", (socket.socket,), members)


def _waiting(listening: socket.socket, kind: type[socket.socket]) -> list[socket.socket]:
    """Accept the waiting connections, up to the limit of one iteration. Raises OSError if none could be accepted."""
    accepted: list[socket.socket] = []
    family, type_, protocol = kind.family, kind.type, listening.proto
    try:
        while len(accepted) < ACCEPTED_PER_TURN:
            descriptor, _ = listening._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - as accept() does
            accepted.append(kind(family, type_, protocol, fileno=descriptor))  # type: ignore[arg-type]
    except BlockingIOError:
        pass
    except OSError:
        if not accepted:
            raise
    return accepted
