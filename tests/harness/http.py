"""HTTP requests as a client sends them, with responses as plain values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import aiohttp
from multidict import CIMultiDictProxy


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

    async def __call__(self, method: str, path: str, *, headers: dict[str, str] | None = None, **more: Any) -> Answer:
        given = dict(headers or {})
        if self._token is not None:
            given.setdefault("Authorization", f"Bearer {self._token}")
        async with self._session.request(method, self._url + path, headers=given, **more) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def get(self, path: str, **more: Any) -> Answer:
        return await self("GET", path, **more)

    async def post(self, activity: Any, **more: Any) -> Answer:
        """``POST activity``."""
        return await self("POST", "/apps/buzz/activity", json=activity, **more)
