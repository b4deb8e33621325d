"""A company's own system: a receiver written only from the seed and its security page. It imports nothing of Buzz."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

Behave = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Receiver:
    """Receives events over real HTTP(S). ``answers``: statuses for the next requests; then ``status`` for all others.

    ``received`` are the events of requests that were answered 200, ``seen`` those of every request.
    """

    def __init__(self, api_key: str = "") -> None:
        self.api_key = api_key
        self.status = 200
        self.answers: list[int] = []
        self.received: list[dict[str, Any]] = []
        self.seen: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.behave: Behave | None = None
        self.most_at_once = 0
        self._at_once = 0
        self._news = asyncio.Condition()
        application = web.Application(client_max_size=8 * 1024 * 1024)
        application.router.add_post("/hook", self._handle)
        self.server = TestServer(application)

    async def start(self, context: ssl.SSLContext | None = None) -> Receiver:
        self.server.scheme = "https" if context else "http"
        await self.server.start_server(ssl=context)
        return self

    async def close(self) -> None:
        await self.server.close()

    @property
    def url(self) -> str:
        return str(self.server.make_url("/hook"))

    async def wait_for(self, count: int, within: float = 30) -> list[dict[str, Any]]:
        """Return the accepted events, when there are that many."""
        return await self._wait(lambda: self.received if len(self.received) >= count else None, within)

    async def wait_for_tries(self, count: int, within: float = 30) -> list[dict[str, Any]]:
        """Return all events that arrived, when that many were answered."""
        return await self._wait(lambda: self.seen if len(self.seen) >= count and not self._at_once else None, within)

    async def wait_for_arrivals(self, count: int, within: float = 30) -> list[dict[str, Any]]:
        """Return all events that arrived, when there are that many, answered or not."""
        return await self._wait(lambda: self.seen if len(self.seen) >= count else None, within)

    async def _wait(self, ready: Callable[[], Any], within: float) -> Any:
        async with asyncio.timeout(within), self._news:
            return await self._news.wait_for(ready)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return await self._answer(request)
        finally:
            self._at_once -= 1
            async with self._news:
                self._news.notify_all()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.content_type == "application/json":
            self.bodies.append(await request.read())
            event = json.loads(self.bodies[-1])
        else:
            event = nested(await request.post())
        self.seen.append(event)
        self.headers.append(dict(request.headers))
        async with self._news:
            self._news.notify_all()
        if self.behave is not None:
            return await self.behave(request)
        status = self.answers.pop(0) if self.answers else self.status
        if status == 200 and self.api_key and not genuine(event, self.api_key):
            status = 401
        if status == 200:
            self.received.append(event)
        return web.Response(status=status, text=f"answered {status}")


def genuine(event: dict[str, Any], api_key: str) -> bool:
    """Check the signature as on the security page: hex HMAC-SHA256 of timestamp and random_token with the API key."""
    signature = event["signature"]
    message = signature["timestamp"] + signature["random_token"]
    expected = hmac.new(api_key.encode(), message.encode(), hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, signature["signature"])


def nested(fields: Any) -> dict[str, Any]:
    """Convert ``a[b]=c`` to ``{"a": {"b": "c"}}``."""
    event: dict[str, Any] = {}
    for name, value in fields.items():
        assert isinstance(value, str), f"{name} is no plain field"
        *path, last = re.findall(r"[^\[\]]+", name)
        target = event
        for key in path:
            target = target.setdefault(key, {})
        assert last not in target
        target[last] = value
    return event
