"""Mozilla's push service, played on loopback for a real Firefox: JSON over a websocket, and endpoints to post to."""

from __future__ import annotations

import json
import uuid
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import WSMsgType, web
from yarl import URL

from tests.harness.serving import served


class BrowserPush:
    """``acked``: the codes with which the browser has acknowledged each push; ``urgencies``: of what was posted."""

    def __init__(self) -> None:
        self.port = 0
        self.acked: list[int] = []
        self.urgencies: list[str] = []
        self._browsers: dict[str, web.WebSocketResponse] = {}

    @property
    def preferences(self) -> dict[str, bool | int | str]:
        """The preferences of a Firefox that uses it."""
        return {
            "dom__push__serverURL": f"ws://127.0.0.1:{self.port}/",
            "dom__push__testing__allowInsecureServerURL": True,
            "dom__push__connection__enabled": True,
            "permissions__default__desktop-notification": 1,
            "alerts__useSystemBackend": False,
        }

    async def connect(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=("push-notification",))
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                answer = self._answer(json.loads(message.data), socket)
                if answer is not None:
                    await socket.send_json(answer)
        return socket

    def _answer(self, said: dict[str, Any], socket: web.WebSocketResponse) -> dict[str, Any] | None:
        kind = said.get("messageType")
        if kind == "hello":
            return {"messageType": "hello", "uaid": uuid.uuid4().hex, "status": 200, "use_webpush": True}
        if kind == "register":
            channel = said["channelID"]
            self._browsers[channel] = socket
            endpoint = f"http://127.0.0.1:{self.port}/wpush/{channel}"
            return {"messageType": "register", "channelID": channel, "status": 200, "pushEndpoint": endpoint}
        if kind == "unregister":
            return {"messageType": "unregister", "channelID": said["channelID"], "status": 200}
        if kind == "ack":
            self.acked += [update.get("code", 0) for update in said["updates"]]
            return None
        return {} if not said else None

    async def push(self, request: web.Request) -> web.Response:
        channel, body = request.match_info["channel"], await request.read()
        self.urgencies.append(request.headers["Urgency"])
        await self._browsers[channel].send_json(
            {
                "messageType": "notification",
                "channelID": channel,
                "version": uuid.uuid4().hex,
                "data": urlsafe_b64encode(body).rstrip(b"=").decode(),
                "headers": {"encoding": request.headers["Content-Encoding"]},
            }
        )
        return web.Response(status=201)


@asynccontextmanager
async def browser_push() -> AsyncIterator[BrowserPush]:
    service = BrowserPush()
    app = web.Application()
    app.router.add_get("/", service.connect)
    app.router.add_post("/wpush/{channel}", service.push)
    async with served(app) as url:
        service.port = URL(url).port or 0
        yield service
