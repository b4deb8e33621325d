"""Accepting connections at a pace: what waits together is accepted together, and only so much of it in a turn."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from typing import Any

import pytest
from aiohttp import web

from server.http import connection as http_connection
from server.http import listening
from server.http.connection import IDLE_SECONDS, HttpConnection, Lobby, connections
from server.http.listening import ACCEPTED_PER_TURN, HttpServer, PortInUse, accept, listen, reserve
from server.socket.upgrade import upgrade
from tests.harness.peer import WAIT_SECONDS
from tests.harness.waiting import until

WAITING = 3 * ACCEPTED_PER_TURN


class Turns:
    """Counts the event loop's turns, and the connections that were made in each."""

    def __init__(self) -> None:
        self.made: Counter[int] = Counter()
        self.lost = 0
        self._turn = 0
        self._tick()

    def protocol(self) -> asyncio.Protocol:
        turns = self

        class Connection(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                turns.made[turns._turn] += 1

            def connection_lost(self, exc: Exception | None) -> None:
                turns.lost += 1

        return Connection()

    def _tick(self) -> None:
        self._turn += 1
        asyncio.get_running_loop().call_soon(self._tick)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with listen("127.0.0.1", 0) as opened:
        yield opened


def clients(stack: ExitStack, listener: socket.socket, count: int) -> list[socket.socket]:
    """So many that have connected: the kernel holds them until they are accepted."""
    return [stack.enter_context(socket.create_connection(listener.getsockname())) for _ in range(count)]


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_those_who_wait_are_accepted_together_and_no_more_than_so_many_in_a_turn(listener: socket.socket) -> None:
    turns = Turns()
    with ExitStack() as stack:
        clients(stack, listener, WAITING)
        accepting = asyncio.create_task(accept(listener, turns.protocol))
        await until(lambda: turns.made.total() == WAITING)
        await ended(accepting)
    await until(lambda: turns.lost == WAITING)
    assert max(turns.made.values()) == ACCEPTED_PER_TURN
    assert len(turns.made) == WAITING // ACCEPTED_PER_TURN


@pytest.mark.parametrize("turns_later", range(6))
@pytest.mark.parametrize("idle", [True, False], ids=["waiting for a connection", "just begun"])
async def test_no_connection_is_left_open_when_the_server_stops(
    listener: socket.socket, idle: bool, turns_later: int
) -> None:
    """Stopped in each turn of the loop around the one that accepts: a socket that nobody closes is a warning here."""
    turns = Turns()
    accepting = asyncio.create_task(accept(listener, turns.protocol))
    if idle:
        for _ in range(5):
            await asyncio.sleep(0)
    with ExitStack() as stack:
        waiting = clients(stack, listener, ACCEPTED_PER_TURN)
        for _ in range(turns_later):
            await asyncio.sleep(0)
        await ended(accepting)
        listener.close()
        for client in waiting:
            client.close()
        await until(lambda: turns.lost == turns.made.total())


async def test_it_goes_on_after_running_out_of_descriptors(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "_RETRY_SECONDS", 0.01)
    turns = Turns()
    complaints: list[str] = []
    monkeypatch.setattr(listening._logger, "warning", lambda _event, reason: complaints.append(reason))
    with ExitStack() as stack:
        clients(stack, listener, WAITING)
        with no_more_descriptors():
            accepting = asyncio.create_task(accept(listener, turns.protocol))
            await until(lambda: len(complaints) > 1)
        await until(lambda: turns.made.total() == WAITING)
        await ended(accepting)
    await until(lambda: turns.lost == WAITING)
    assert "Too many open files" in complaints[0]


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost:"], ids=["nothing", "half a head"])
async def test_a_connection_on_which_no_whole_request_comes_is_closed(said: bytes) -> None:
    async with served(web.Application(), listen("127.0.0.1", 0), keepalive_timeout=0.05) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(said)
        async with asyncio.timeout(WAIT_SECONDS):
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def served(
    application: web.Application, listening: socket.socket, shutdown_timeout: float = 5, **more: Any
) -> AsyncIterator[str]:
    server = HttpServer(application, listening, shutdown_timeout, **more)
    try:
        yield await server.start()
    finally:
        await server.close()


async def test_an_hour_is_not_what_an_idle_connection_gets() -> None:
    runner = web.AppRunner(web.Application())
    await runner.setup()
    connection = connections(runner, Lobby(1_000))()
    assert isinstance(connection, web.RequestHandler)
    assert connection.keepalive_timeout == IDLE_SECONDS
    await runner.cleanup()


MOST = 2 * ACCEPTED_PER_TURN


class Place:
    """A server of a few connections. ``/`` answers at once, ``/long`` when ``release`` is set, ``/socket`` upgrades."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.under_way = 0
        self.sockets: list[asyncio.Transport] = []
        self.application = web.Application()
        self.application.router.add_get("/", self._short)
        self.application.router.add_get("/long", self._long)
        self.application.router.add_get("/socket", self._socket)

    async def _short(self, _: web.Request) -> web.Response:
        return web.Response(text="short")

    async def _long(self, _: web.Request) -> web.Response:
        self.under_way += 1
        await self.release.wait()
        return web.Response(text="long")

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        response = upgrade(request)
        assert isinstance(request.protocol, HttpConnection)
        transport, _ = request.protocol.hand_over()
        transport.set_protocol(asyncio.Protocol())
        self.sockets.append(transport)
        self.under_way += 1
        return response


async def connected(stack: AsyncExitStack, url: str, path: str | None = None, **headers: str) -> asyncio.StreamReader:
    """A connection that asks for a path, or says nothing."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    stack.callback(writer.close)
    if path is not None:
        lines = [f"GET {path} HTTP/1.1", "Host: x", *(f"{name.replace('_', '-')}: {v}" for name, v in headers.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode())
    return reader


@pytest.mark.parametrize("pause", ["pause_reading", "_pause_reading_for_buffer"])
async def test_a_connection_that_was_paused_is_read_by_the_one_that_takes_it_over(pause: str) -> None:
    came: asyncio.Queue[bytes] = asyncio.Queue()

    class Reader(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            came.put_nowait(data)

    async def paused(request: web.Request) -> web.StreamResponse:
        response = upgrade(request)
        assert isinstance(request.protocol, HttpConnection)
        getattr(request.protocol, pause)()
        transport, _ = request.protocol.hand_over()
        transport.set_protocol(Reader())
        return response

    application = web.Application()
    application.router.add_get("/socket", paused)
    async with asyncio.timeout(WAIT_SECONDS), served(application, listen("127.0.0.1", 0), 0) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(
            b"GET /socket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert (await reader.readline()).startswith(b"HTTP/1.1 101")
        writer.write(b"hello")
        assert await came.get() == b"hello"
        writer.close()


async def test_who_says_nothing_makes_room_for_those_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "QUIET_SECONDS", 0.001)
    monkeypatch.setattr(listening, "_RETRY_SECONDS", 0.01)
    place = Place()
    async with (
        asyncio.timeout(WAIT_SECONDS),
        served(place.application, listen("127.0.0.1", 0), 0, max_connections=MOST) as url,
        AsyncExitStack() as stack,
    ):
        long = await connected(stack, url, "/long")
        await until(lambda: place.under_way == 1)
        silent = [await connected(stack, url) for _ in range(MOST)]
        for _ in range(MOST):
            assert (await (await connected(stack, url, "/")).readline()).startswith(b"HTTP/1.1 200")
        assert await silent[0].read() == b"", "the one that waited longest has gone"
        place.release.set()
        assert (await long.readline()).startswith(b"HTTP/1.1 200"), "a request under way is nobody's room"


async def test_those_who_ask_wait_while_nobody_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "_RETRY_SECONDS", 0.01)
    place = Place()
    async with (
        asyncio.timeout(WAIT_SECONDS),
        served(place.application, listen("127.0.0.1", 0), 0, max_connections=ACCEPTED_PER_TURN) as url,
        AsyncExitStack() as stack,
    ):
        busy = await connected(stack, url, "/long", Connection="close")
        await until(lambda: place.under_way == 1)
        waiting = await connected(stack, url, "/")
        place.release.set()
        assert (await busy.readline()).startswith(b"HTTP/1.1 200")
        assert (await waiting.readline()).startswith(b"HTTP/1.1 200")


async def test_live_sockets_take_no_place_of_others() -> None:
    place = Place()
    asking = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Version": "13"}
    async with (
        asyncio.timeout(WAIT_SECONDS),
        served(place.application, listen("127.0.0.1", 0), 0, max_connections=MOST) as url,
        AsyncExitStack() as stack,
    ):
        for number in range(2 * MOST):
            await connected(stack, url, "/socket", Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==", **asking)
            await until(lambda expected=number + 1: place.under_way == expected)  # type: ignore[misc]
        assert (await (await connected(stack, url, "/")).readline()).startswith(b"HTTP/1.1 200")
        for each in place.sockets:
            each.abort()


@contextmanager
def no_more_descriptors() -> Iterator[None]:
    """This process can open nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_reserved_port_is_for_those_who_share_it() -> None:
    with reserve("127.0.0.1", 0) as port:
        with listen("127.0.0.1", port, shared=True), listen("127.0.0.1", port, shared=True):
            with pytest.raises(PortInUse):
                listen("127.0.0.1", port)
            with pytest.raises(PortInUse), reserve("127.0.0.1", port):
                pytest.fail("it is not free")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
