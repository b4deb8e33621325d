"""A minimal websocket client on asyncio: one Protocol object for each session, no task, no queue."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Callable, Sequence
from typing import cast

from bench.load import wire
from bench.process import BenchFault

PayloadsHandler = Callable[["SocketClient", list[bytes]], None]
SOURCE_ADDRESSES = tuple(f"127.0.0.{last}" for last in range(2, 34))
IP_BIND_ADDRESS_NO_PORT = 24  # <linux/in.h>; the socket module names it from 3.12 on only
_next_source = itertools.cycle(SOURCE_ADDRESSES)


class SocketClient(asyncio.Protocol):
    """One websocket. `on_payloads` is called with the data frames that arrived together; pings are answered here.

    `opened` resolves when the server has switched protocols; `close_code` is 0 while the socket is open, then the
    server's code, or 1006 if it gave none. `person`, `cursor` (the newest id it has; -1 if it starts at the head) and
    `welcomed` are the load's data about the session.
    """

    __slots__ = (
        "_request",
        "_splitter",
        "_switched",
        "close_code",
        "cursor",
        "on_payloads",
        "opened",
        "person",
        "transport",
        "welcomed",
    )

    def __init__(self, request: bytes, on_payloads: PayloadsHandler, person: int) -> None:
        self._request = request
        self._splitter = wire.FrameSplitter()
        self._switched = b""
        self.on_payloads = on_payloads
        self.person = person
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.welcomed: asyncio.Future[None] | None = None
        self.close_code = 0
        self.cursor = -1
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports do not inherit from asyncio's
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self.opened.done():
            data = self._finish_upgrade(data)
        payloads = []
        for opcode, payload in self._splitter.split(data):
            if opcode <= wire.BINARY:
                payloads.append(payload)
            else:
                self._obey(opcode, payload)
        if payloads:
            self.on_payloads(self, payloads)

    def _obey(self, opcode: int, payload: bytes) -> None:
        if opcode == wire.PING:
            self.transport.write(wire.frame(wire.PONG, payload))
        elif opcode == wire.CLOSE:
            self.close_code = int.from_bytes(payload[:2], "big")
            self.transport.close()

    def _finish_upgrade(self, data: bytes) -> bytes:
        """Read the answer to the upgrade; returns the bytes after it."""
        head, separator, rest = (self._switched + data).partition(b"\r\n\r\n")
        if not separator:
            self._switched = head
            return b""
        self._switched = b""
        status = head[9:12].decode(errors="replace")
        if status == "101":
            self.opened.set_result(None)
        else:
            self.opened.set_exception(UpgradeRefused(int(status) if status.isdigit() else 0, head.decode()))
        return rest if status == "101" else b""

    def connection_lost(self, exc: Exception | None) -> None:
        self.close_code = self.close_code or 1006
        for waiting in (self.opened, self.welcomed):
            if waiting is not None and not waiting.done():
                waiting.set_exception(UpgradeRefused(0, f"connection lost, close code {self.close_code}: {exc}"))

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    def abort(self) -> None:
        """Abort the connection without a close frame, as a failing network does."""
        self.transport.abort()


class UpgradeRefused(BenchFault):
    """The server answered the upgrade with something else than 101."""

    def __init__(self, status: int, head: str) -> None:
        super().__init__(f"upgrade refused with {status}: {head}")
        self.status = status


async def connect(
    host: str,
    port: int,
    request: bytes,
    on_payloads: PayloadsHandler,
    person: int = 0,
) -> SocketClient:
    """Open one websocket and wait for the server's 101."""
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(
        lambda: SocketClient(request, on_payloads, person), sock=await connected_socket(host, port)
    )
    await client.opened
    return client


async def connected_socket(host: str, port: int) -> socket.socket:
    """Return a connected socket from the next of 32 loopback addresses, which have ports for 15,000 connections."""
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    connection.setblocking(False)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Let connect() choose the port, which it may use again for another destination: ip(7).
    connection.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    connection.bind((next(_next_source), 0))
    await asyncio.get_running_loop().sock_connect(connection, (host, port))
    return connection


async def abort_all(clients: Sequence[SocketClient]) -> None:
    """Abort them and let the loop close them."""
    for client in clients:
        client.abort()
    await asyncio.sleep(0)
