"""The server's side of a script: a real HTTP and websocket server on loopback that does only what it is told."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import WSMsgType, web

from client.conformance.wire import SUBPROTOCOLS, Frame, decode, encode, expanded, rows, websocket_frames

_LIVE_ONLY = ("ping", "received")


class Peer:
    """One socket of the client."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse, encoding: str) -> None:
        self._request = request
        self._socket = socket
        self.encoding = encoding
        self.frames: dict[str, asyncio.Queue[Frame]] = defaultdict(asyncio.Queue)
        self.closed: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self.pings: asyncio.Queue[bytes | Frame] = asyncio.Queue()
        self.answers_pings = True

    async def say(self, frame: Frame) -> None:
        """Send a frame as one websocket frame."""
        data = encode(self.encoding, expanded(frame))
        await (self._socket.send_bytes(data) if self.encoding == "msgpack" else self._socket.send_str(data.decode()))

    def write(self, data: bytes) -> None:
        """Write bytes to the connection as they are."""
        assert self._request.transport is not None
        self._request.transport.write(data)

    def in_pieces(self, frame: Frame, pieces: int) -> bytes:
        """Return the bytes of a frame in so many fragments."""
        return websocket_frames(self.encoding, encode(self.encoding, expanded(frame)), pieces)

    def cut(self) -> None:
        """End the connection without a close frame, after what was written."""
        if self._request.transport is not None:
            self._request.transport.close()

    async def close(self, code: int, reason: str) -> None:
        """Close with this code."""
        await self._socket.close(code=code, message=reason.encode())

    async def pong(self, ping: bytes | Frame) -> None:
        """Answer a ping of either kind: a control frame, or a frame of the protocol."""
        if isinstance(ping, dict):
            await self.say({"type": "pong"} | ({"ref": ping["ref"]} if "ref" in ping else {}))
        else:
            await self._socket.pong(ping)

    async def read(self) -> None:
        """Take what the client sends until the socket ends."""
        async for message in self._socket:
            if message.type is WSMsgType.PING:
                await self._on_ping(message.data)
            elif message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                frame = decode(self.encoding, message.data)
                if frame.get("type") == "ping":
                    await self._on_ping(frame)
                else:
                    self.frames[str(frame.get("type"))].put_nowait(frame)
        if not self.closed.done():
            self.closed.set_result(self._socket.close_code)

    async def _on_ping(self, ping: bytes | Frame) -> None:
        self.pings.put_nowait(ping)
        if self.answers_pings:
            await self.pong(ping)

    def unexpected(self) -> list[Frame]:
        """Return the frames that no step has taken, except those that a client may send at any time."""
        return [
            queue.get_nowait()
            for kind, queue in self.frames.items()
            if kind not in _LIVE_ONLY
            for _ in range(queue.qsize())
        ]


class Upgrade:
    """A request for a websocket that waits for the script to accept or refuse it."""

    def __init__(self, request: web.Request, advanced_seconds: float) -> None:
        self.request = request
        self.advanced_seconds = advanced_seconds
        self.answer: asyncio.Future[web.Response | None] = asyncio.get_running_loop().create_future()
        self.peer: asyncio.Future[Peer] = asyncio.get_running_loop().create_future()
        self.hello: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()


class ScriptedServer:
    """Holds every upgrade until a step takes it, and answers HTTP from what steps have laid ready."""

    def __init__(self) -> None:
        self.upgrades: asyncio.Queue[Upgrade] = asyncio.Queue()
        self.requests: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.advanced_seconds = 0.0
        self.url = ""
        self._pages: dict[str, deque[Frame]] = defaultdict(deque)
        self._peers: list[Peer] = []

    async def socket(self, request: web.Request) -> web.StreamResponse:
        """Wait for the script's answer to the upgrade, then serve the socket."""
        upgrade = Upgrade(request, self.advanced_seconds)
        self.upgrades.put_nowait(upgrade)
        refusal = await upgrade.answer
        if refusal is not None:
            return refusal
        socket = web.WebSocketResponse(protocols=SUBPROTOCOLS.values(), autoping=False, compress=False, timeout=1)
        await socket.prepare(request)
        encoding = "msgpack" if socket.ws_protocol == SUBPROTOCOLS["msgpack"] else "json"
        peer = Peer(request, socket, encoding)
        self._peers.append(peer)
        upgrade.peer.set_result(peer)
        await peer.read()
        return socket

    async def page(self, request: web.Request) -> web.StreamResponse:
        """Answer an HTTP request with what is laid ready for its path, else with 503."""
        path = request.match_info["path"]
        self.requests.put_nowait((path, request.headers.get("Authorization", "").removeprefix("Bearer ")))
        ready = self._pages[path]
        if not ready:
            return web.json_response({"error": {"code": "503", "message": "nothing is ready"}}, status=503)
        answer = ready.popleft()
        body = rows(answer["activities"]) if "activities" in answer else answer.get("json")
        return web.json_response(body, status=answer.get("status", 200), headers=answer.get("headers"))

    def lay_ready(self, path: str, answer: Frame) -> None:
        """Answer the next request for this path like this."""
        self._pages[path].append(answer)

    async def all_closed(self) -> None:
        """Wait until everything that the client has sent is read, because its sockets have ended."""
        await asyncio.gather(*(peer.closed for peer in self._peers))

    def leftovers(self) -> list[Any]:
        """Return what the client sent and no step has taken."""
        return [frame for peer in self._peers for frame in peer.unexpected()]


@asynccontextmanager
async def scripted_server() -> AsyncIterator[ScriptedServer]:
    """Listen on a free port of the loopback."""
    server = ScriptedServer()
    app = web.Application()
    app.router.add_get("/apps/buzz/socket", server.socket)
    app.router.add_route("*", "/apps/buzz/{path:.*}", server.page)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()
