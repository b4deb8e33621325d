"""A push service for the load: takes pushes on the loopback, notes when each came, and answers 201."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import cast

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bench.load.pacing import wait_until
from bench.process import BenchFault
from storage.sqlite.connection import connect

TAKEN = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
Arrived = Callable[[str, int], None]


class PushService:
    """Where it listens, and what came: ``arrived`` has the time of each push by its kind and person.

    ``held_seconds``: how long the pushes of a kind wait for their answer.
    """

    def __init__(self) -> None:
        self.url = ""
        self.arrived: dict[tuple[str, int], list[float]] = {}
        self.count = 0
        self.held_seconds: dict[str, float] = {}
        self.on_arrival: Arrived = lambda kind, person: None

    def take(self, path: bytes, transport: asyncio.Transport) -> None:
        """Note one push and answer it."""
        now = time.perf_counter()
        kind, person = path.decode().strip("/").split("/")
        self.arrived.setdefault((kind, int(person)), []).append(now)
        self.count += 1
        if held := self.held_seconds.get(kind):
            asyncio.get_running_loop().call_later(held, transport.write, TAKEN)
        else:
            transport.write(TAKEN)
        self.on_arrival(kind, int(person))

    async def until(self, count: int, within_seconds: float) -> None:
        """Wait until so many have come. Raises BenchFault."""
        if not await wait_until(lambda: self.count >= count, within_seconds=within_seconds):
            raise BenchFault(f"{self.count} of {count} pushes came within {within_seconds:g} s")


class _Connection(asyncio.Protocol):
    """One connection of the server's: requests with a head and a body of a stated length."""

    def __init__(self, service: PushService) -> None:
        self._service = service
        self._data = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (body_at := self._data.find(b"\r\n\r\n") + 4) > 3:
            head = self._data[:body_at]
            length_at = head.lower().index(b"content-length:") + 15
            end = body_at + int(head[length_at : head.index(b"\r", length_at)])
            if len(self._data) < end:
                return
            self._data = self._data[end:]
            self._service.take(head.split(b" ", 2)[1], self._transport)


@asynccontextmanager
async def push_service() -> AsyncIterator[PushService]:
    """Listen on a free port of the loopback until the block ends."""
    service = PushService()
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(service), "127.0.0.1", 0, backlog=4096)
    service.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield service
    finally:
        server.close()


def register(database: Path, service: PushService, kind: str, people: Iterable[int]) -> None:
    """Register a browser that sleeps for each of these people; its pushes come as `kind`. Calls wake only "call"."""
    key = (
        ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    )
    details = msgspec.json.encode({"p256dh": _text(key), "auth": _text(bytes(16))}).decode()
    with closing(connect(database)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        head = connection.execute("SELECT head FROM log").fetchall()[0][0]
        for person in people:
            address = f"{service.url}/{kind}/{person}"
            connection.execute(_REGISTER, (person, address, details, int(kind == "call"), head))
        connection.execute("COMMIT")


def forget(database: Path) -> None:
    """Delete all registrations."""
    with closing(connect(database)) as connection:
        connection.execute("DELETE FROM push_registration")


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


_REGISTER = """
    INSERT INTO push_registration (person_id, device_id, kind, address, details, wake_messages, wake_reactions,
        wake_calls, registered_at_ms, pushed_id, received_at_push, unanswered, cleared, failures, given_up_id, attempts,
        lease_until_ms)
    VALUES (?, 'phone', 'webpush', ?, ?, 1, 0, ?, 1, ?, 0, 0, 0, 0, 0, 0, 0)"""
