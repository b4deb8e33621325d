"""A client for tests, on ``websockets`` and independent of Buzz's own library: it records frames and waits for them."""

from __future__ import annotations

import asyncio
import json
import socket
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgpack
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

WAIT_SECONDS = 60
"""How long a condition may take on a busy machine before a test fails."""
JSON, MSGPACK = "buzz.v1.json", "buzz.v1.msgpack"
Frame = dict[str, Any]
T = TypeVar("T")


class Peer:
    """One socket. All frames that arrive are in ``frames``; ``until`` waits for a condition on them."""

    def __init__(self, connection: ClientConnection, binary: bool) -> None:
        self.connection = connection
        self.binary = binary
        self.frames: list[Frame] = []
        self.sizes: list[int] = []
        self.close_code: int | None = None
        self.close_reason = ""
        self._changed = asyncio.Event()
        self._reading = asyncio.Event()
        self._reading.set()
        self._reader = asyncio.create_task(self._read(), name="peer")
        self._refs = 0

    # --- what it has seen ---------------------------------------------------------------------------------------

    def of_type(self, kind: str) -> list[Frame]:
        return [frame for frame in self.frames if frame["type"] == kind]

    @property
    def activities(self) -> list[dict[str, Any]]:
        """Return all activities in the order of their arrival."""
        return [activity for frame in self.of_type("activities") for activity in frame["activities"]]

    @property
    def ids(self) -> list[int]:
        return [activity["id"] for activity in self.activities]

    @property
    def welcome(self) -> Frame:
        [welcome] = self.of_type("welcome")
        return welcome

    def events(self, name: str) -> list[dict[str, Any]]:
        return [frame["data"] for frame in self.of_type("event") if frame["name"] == name]

    @property
    def closed(self) -> bool:
        return self.close_code is not None

    # --- waiting ------------------------------------------------------------------------------------------------

    async def until(self, condition: Callable[[Peer], T], seconds: float = WAIT_SECONDS) -> T:
        """Wait until the condition holds and return its value. Fails with the frames that arrived instead."""
        try:
            async with asyncio.timeout(seconds):
                while not (found := condition(self)):
                    assert not self.closed, f"closed {self.close_code} {self.close_reason!r}; {self._seen()}"
                    self._changed.clear()
                    await self._changed.wait()
                return found
        except TimeoutError:
            raise AssertionError(f"nothing for {seconds} s; {self._seen()}") from None

    async def until_frame(self, kind: str, **fields: Any) -> Frame:
        """Wait for the first frame of this type with these fields and return it."""
        return await self.until(lambda peer: peer.find(kind, **fields))

    def find(self, kind: str, **fields: Any) -> Frame | None:
        matching = (f for f in self.of_type(kind) if all(f.get(name) == value for name, value in fields.items()))
        return next(matching, None)

    async def until_ids(self, *ids: int, seconds: float = WAIT_SECONDS) -> list[int]:
        """Wait until all of these have arrived; returns everything that has."""
        wanted = set(ids)
        await self.until(lambda peer: wanted <= set(peer.ids), seconds)
        return self.ids

    async def until_closed(self) -> int:
        """Wait for the close and return its code."""
        await self.until(lambda peer: peer.closed)
        assert self.close_code is not None
        return self.close_code

    # --- sending ------------------------------------------------------------------------------------------------

    async def send(self, type: str, **fields: Any) -> None:
        await self.send_value({"type": type, **fields})

    async def send_value(self, value: Any) -> None:
        await self.send_raw(msgpack.packb(value) if self.binary else json.dumps(value, ensure_ascii=False))

    async def send_raw(self, data: str | bytes) -> None:
        await self.connection.send(data)

    async def hello(self, token: str | None = None, **fields: Any) -> Frame:
        """Send ``hello`` and wait for ``welcome``."""
        await self.send("hello", **({} if token is None else {"token": token}), **fields)
        return await self.until_frame("welcome")

    async def ask(self, type: str, **fields: Any) -> Frame:
        """Send a frame with a ref and wait for its answer."""
        self._refs += 1
        ref = f"r{self._refs}"
        await self.send(type, ref=ref, **fields)
        return await self.until(lambda peer: next((f for f in peer.frames if f.get("ref") == ref), None))

    async def post(self, activity: dict[str, Any]) -> Frame:
        """Send an activity; returns the ``ack`` or ``error``."""
        return await self.ask("send", activity=activity)

    async def alive(self) -> None:
        """Check that the session still answers."""
        assert (await self.ask("ping"))["type"] == "pong"

    # --- misbehaving --------------------------------------------------------------------------------------------

    def stall(self) -> None:
        """Stop reading, so that first the library's queue fills, then the kernel's buffers, then the server's."""
        self._reading.clear()

    def wake(self) -> None:
        self._reading.set()

    def cut(self) -> None:
        """Drop the connection without a close frame."""
        self.connection.transport.abort()

    async def close(self, code: int = 1000) -> None:
        self.wake()
        await self.connection.close(code)
        await self._reader

    async def _read(self) -> None:
        try:
            while True:
                await self._reading.wait()
                self._took(await self.connection.recv())
        except ConnectionClosed as closed:
            frame = closed.rcvd
            self.close_code = frame.code if frame is not None else 1006
            self.close_reason = frame.reason if frame is not None else ""
        finally:
            self._changed.set()

    def _took(self, data: str | bytes) -> None:
        assert isinstance(data, bytes) == self.binary, "a frame of the wrong kind for the subprotocol"
        self.frames.append(msgpack.unpackb(data) if isinstance(data, bytes) else json.loads(data))
        self.sizes.append(len(data.encode()) if isinstance(data, str) else len(data))
        self._changed.set()

    def _seen(self) -> str:
        last = [f"{frame!r:.300}" for frame in self.frames[-5:]]
        return f"{len(self.frames)} frames, the last: {last}"


@asynccontextmanager
async def peer(
    url: str,
    subprotocol: str | None = JSON,
    *,
    token: str | None = None,
    origin: str | None = None,
    headers: dict[str, str] | None = None,
    receive_buffer: int | None = None,
    **connecting: Any,
) -> AsyncIterator[Peer]:
    """Open a socket (no hello yet). It is closed at the end in every case.

    ``token`` goes into the upgrade request; ``receive_buffer`` (bytes) limits what the kernel buffers for a slow
    reader; ``connecting`` as for ``websockets``: how the connection is made.
    """
    more = dict(headers or {})
    if token is not None:
        more["Authorization"] = f"Bearer {token}"
    connection = await connect(
        f"ws{url.removeprefix('http')}/apps/buzz/socket",
        subprotocols=None if subprotocol is None else [Subprotocol(subprotocol)],
        additional_headers=more,
        origin=None if origin is None else Origin(origin),
        compression=None,
        ping_interval=None,
        close_timeout=WAIT_SECONDS,
        max_size=2**20,
        max_queue=4,
        proxy=None,
        user_agent_header=None,
        sock=None if receive_buffer is None else await _small_socket(url, receive_buffer),
        **connecting,
    )
    opened = Peer(connection, binary=subprotocol == MSGPACK)
    try:
        yield opened
    finally:
        await opened.close()


async def _small_socket(url: str, receive_buffer: int) -> socket.socket:
    parts = urlsplit(url)
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    opened.setblocking(False)
    await asyncio.get_running_loop().sock_connect(opened, (parts.hostname, parts.port))
    return opened


def chat(sender: int, receiver: int, message: str = "ciphertext", **more: Any) -> dict[str, Any]:
    """Return a chat message between two people, with a message id of its own."""
    return {
        "type": "chat_message",
        "sendable_type": "person",
        "sendable_id": sender,
        "receivable_type": "person",
        "receivable_id": receiver,
        "message": message,
        "message_id": str(uuid.uuid4()),
    } | more
