"""HTTP requests as a client sends them, with responses as plain values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL


@dataclass(frozen=True)
class Answer:
    """One complete HTTP response."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        """The error's message, in either form."""
        value = self.json
        return str(value["message"] if value["error"] is True else value["error"]["message"])


class Http:
    """Requests to one node with one token (or none)."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str | None = None) -> None:
        self._session = session
        self._url = url
        self._token = token

    async def __call__(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, encoded: bool = False, **more: Any
    ) -> Answer:
        """Send one request. ``encoded``: the path is sent as it is written, not in its usual form."""
        given = dict(headers or {})
        if self._token is not None:
            given.setdefault("Authorization", f"Bearer {self._token}")
        async with self._session.request(
            method, URL(self._url + path, encoded=encoded), headers=given, **more
        ) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def get(self, path: str, **more: Any) -> Answer:
        return await self("GET", path, **more)

    async def post(self, activity: Any, **more: Any) -> Answer:
        """``POST activity``."""
        return await self("POST", "/apps/buzz/activity", json=activity, **more)
