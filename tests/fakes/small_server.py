"""A small honest Buzz server for the client's tests: real sockets, both subprotocols, a log in memory.

It keeps the promises the client builds on (stored before acknowledged, everything newer than the cursor in id order,
idempotent sends) and can be told to fail in every way a real one and its network can.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgpack
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

SUBPROTOCOLS = [Subprotocol("buzz.v1.msgpack"), Subprotocol("buzz.v1.json")]
NAMES = {7: "Jane", 8: "Bob"}


@dataclass(eq=False)
class Peer:
    """One session of the small server."""

    socket: ServerConnection
    person_id: int
    hello: dict[str, Any]
    token: str
    cursor: int
    frames: list[dict[str, Any]] = field(default_factory=list)

    async def say(self, frame: dict[str, Any]) -> None:
        binary = self.socket.subprotocol == "buzz.v1.msgpack"
        with suppress(ConnectionClosed):
            await self.socket.send(msgpack.packb(frame) if binary else json.dumps(frame))

    def cut(self) -> None:
        """Break the connection without a word."""
        self.socket.transport.abort()


class SmallServer:
    """Person ids are the tokens: ``Bearer 7`` is person 7."""

    def __init__(self) -> None:
        self.log: list[dict[str, Any]] = []
        self.keys: dict[tuple[int, str], dict[str, Any]] = {}
        self.epoch = "first"
        self.peers: list[Peer] = []
        self.upgrades = 0
        self.page_requests = 0
        self.changed = asyncio.Condition()
        self.max_send_bytes = 131072
        self.older = False
        self.frame_activities = 500
        # What to do instead of the usual: answer upgrades, welcomes and sends as a test needs it.
        self.refuse: Callable[[str], Response | None] = lambda token: None
        self.greet: Callable[[str, dict[str, Any]], tuple[int, str] | None] = lambda token, hello: None
        self.on_send: Callable[[Peer, dict[str, Any]], dict[str, Any] | None] = lambda peer, frame: None
        self.lose_acks = 0
        self.reading = asyncio.Event()
        self.reading.set()
        self._server: Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._server = await serve(
            self._session,
            "127.0.0.1",
            self.port,
            subprotocols=SUBPROTOCOLS,
            process_request=self._request,
            compression=None,
            ping_interval=None,
            close_timeout=1,
            write_limit=(1024, 0),
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def die(self) -> None:
        """Like a kill -9: every socket breaks at once; the log stays."""
        assert self._server is not None
        for peer in list(self.peers):
            peer.cut()
        self._server.close()
        await self._server.wait_closed()

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(60), self.changed:
            await self.changed.wait_for(condition)

    async def peer(self, number: int = 0) -> Peer:
        """The session opened as that number, once it is there."""
        await self.until(lambda: len(self.peers) > number)
        return self.peers[number]

    def live(self) -> list[Peer]:
        return [peer for peer in self.peers if peer.socket.state.name == "OPEN"]

    async def store(self, sender: int, activity: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        """Store once; push to everyone. Returns the row and whether it was there before."""
        key = (sender, activity.get("idempotency_key") or activity["message_id"])
        if key in self.keys:
            return self.keys[key], True
        row = _row(len(self.log) + 1, activity)
        self.log.append(row)
        self.keys[key] = row
        await self.push()
        return row, False

    async def write(self, count: int, sender: int = 8, receiver: int = 7) -> None:
        """So many messages from one person to another, by some other way than these sockets."""
        for number in range(len(self.log), len(self.log) + count):
            fields = {"type": "chat_message", "message": f"m{number}", "message_id": f"made-{number}"}
            parties = {"sendable_type": "person", "sendable_id": sender, "receivable_type": "person"}
            row = _row(number + 1, fields | parties | {"receivable_id": receiver})
            self.log.append(row)
            self.keys[(sender, row["message_id"])] = row
        await self.push()

    async def push(self) -> None:
        """Wake every session: there is something new in the log."""
        await self._tell()

    async def _tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    def _request(self, connection: ServerConnection, request: Request) -> Response | None:
        url = urlsplit(request.path)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if url.path.startswith("/apps/buzz/activity/"):
            self.page_requests += 1
            limit = int(parse_qs(url.query).get("limit", ["500"])[0])
            return self._page(int(token), int(url.path.rsplit("/", 1)[1]), limit)
        if url.path == "/apps/buzz/activity":
            return self._latest(int(token), {name: values[0] for name, values in parse_qs(url.query).items()})
        self.upgrades += 1
        return self.refuse(token)

    def _page(self, person_id: int, after: int, limit: int) -> Response:
        rows = [row for row in self.log[after:] if _concerns(row, person_id)]
        link = {"Link": '<next>; rel="next"'} if len(rows) > limit else {}
        return answer(200, rows[:limit], **{"Buzz-Log-Epoch": self.epoch} | link)

    def _latest(self, person_id: int, query: dict[str, str]) -> Response:
        other = int(query["party"].removeprefix("person:"))
        rows = [
            row for row in self.log[: int(query["before"]) - 1] if _concerns(row, person_id) and _concerns(row, other)
        ]
        return answer(200, rows[::-1][: int(query["limit"])])

    async def _session(self, socket: ServerConnection) -> None:
        token = (socket.request.headers.get("Authorization") if socket.request else None) or ""
        token = token.removeprefix("Bearer ")
        try:
            hello = _decode(await socket.recv())
            token = token or str(hello.get("token", ""))
            if (close := self.greet(token, hello)) is not None:
                await socket.close(*close)
                return
            peer = await self._welcome(socket, token, hello)
            await asyncio.gather(self._deliver(peer), self._listen(peer))
        except ConnectionClosed:
            pass
        finally:
            await self._tell()

    async def _welcome(self, socket: ServerConnection, token: str, hello: dict[str, Any]) -> Peer:
        cursor = hello.get("last_activity_id", len(self.log))
        if hello.get("epoch", self.epoch) != self.epoch:
            cursor = 0
        peer = Peer(socket, int(token.split("-")[0]), hello, token, cursor)
        await peer.say(
            {
                "type": "welcome",
                "session_id": f"s{len(self.peers)}",
                "person_id": peer.person_id,
                "device_id": hello.get("device_id"),
                "head_id": len(self.log),
                "epoch": self.epoch,
                "heartbeat_seconds": 25,
                # An older server says by this name what the client may send.
                "max_frame_bytes": self.max_send_bytes if self.older else 4_096,
                **({} if self.older else {"max_send_bytes": self.max_send_bytes}),
                "server_time": "2024-07-05T12:14:45Z",
                "token_expires_at": "2034-07-05T12:14:45Z",
            }
        )
        self.peers.append(peer)
        await self._tell()
        return peer

    async def _deliver(self, peer: Peer) -> None:
        """Everything newer than the cursor, in order; the one way of delivery."""
        caught_up = False
        while True:
            batch = self.log[peer.cursor : peer.cursor + self.frame_activities]
            if batch:
                rows = [row for row in batch if _concerns(row, peer.person_id)]
                if rows:
                    await peer.socket.send(_encode(peer.socket, {"type": "activities", "activities": rows}))
                peer.cursor = batch[-1]["id"]
                continue
            if not caught_up:
                caught_up = True
                await peer.say({"type": "caught_up", "id": peer.cursor})
            async with self.changed:
                await self.changed.wait_for(lambda: len(self.log) > peer.cursor or peer.socket.state.name != "OPEN")
            if peer.socket.state.name != "OPEN":
                return

    async def _listen(self, peer: Peer) -> None:
        try:
            async for data in peer.socket:
                frame = _decode(data)
                peer.frames.append(frame)
                if frame["type"] == "send":
                    await self._on_send(peer, frame)
                await self._tell()
                await self.reading.wait()
        finally:
            await self._tell()

    async def _on_send(self, peer: Peer, frame: dict[str, Any]) -> None:
        if (instead := self.on_send(peer, frame)) is not None:
            await peer.say({"ref": frame["ref"]} | instead)
            return
        row, duplicate = await self.store(peer.person_id, frame["activity"])
        if self.lose_acks:
            self.lose_acks -= 1
            peer.cut()
            return
        facts = {"id": row["id"], "created_at": row["created_at"], "duplicate": duplicate}
        await peer.say({"type": "ack", "ref": frame["ref"]} | facts)


@asynccontextmanager
async def small_server() -> AsyncIterator[SmallServer]:
    server = SmallServer()
    await server.start()
    try:
        yield server
    finally:
        await server.die()


def answer(status: int, body: Any, **headers: str) -> Response:
    """An HTTP answer in JSON."""
    data = json.dumps(body).encode()
    fields = Headers({"Content-Type": "application/json", "Content-Length": str(len(data)), "Connection": "close"})
    fields.update(headers)
    return Response(status, HTTPStatus(status).phrase, fields, data)


def _concerns(row: dict[str, Any], person_id: int) -> bool:
    return person_id in (row["sendable_id"], row["receivable_id"])


def _encode(socket: ServerConnection, frame: dict[str, Any]) -> str | bytes:
    packed: bytes = msgpack.packb(frame)
    return packed if socket.subprotocol == "buzz.v1.msgpack" else json.dumps(frame)


def _decode(data: str | bytes) -> dict[str, Any]:
    frame: dict[str, Any] = msgpack.unpackb(data) if isinstance(data, bytes) else json.loads(data)
    return frame


def _row(activity_id: int, activity: dict[str, Any]) -> dict[str, Any]:
    kinds = {"person": "AppModelsPerson", "company": "AppModelsCompany"}
    return {
        "id": activity_id,
        "type": activity["type"],
        "receivable_type": kinds[activity["receivable_type"]],
        "receivable_id": activity["receivable_id"],
        "sendable_type": kinds[activity["sendable_type"]],
        "sendable_id": activity["sendable_id"],
        "call_time": None,
        "message": activity.get("message"),
        "message_id": activity.get("message_id"),
        "created_at": "2024-07-05T12:14:45Z",
        "sendable": _person(activity["sendable_id"]),
        "receivable": _person(activity["receivable_id"]),
    }


def _person(person_id: int) -> dict[str, Any]:
    return {"id": person_id, "first_name": NAMES.get(person_id, "?"), "middle_name": None, "last_name": "Doe"}
