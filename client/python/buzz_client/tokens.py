"""The access token: a fixed string, or a callable that fetches a fresh one."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

TokenSource = str | Callable[[], str | Awaitable[str]]


class Tokens:
    """Returns the current token, and fetches a new one when the current is no longer accepted."""

    def __init__(self, source: TokenSource) -> None:
        self._source = source
        self._token = source if isinstance(source, str) else None
        self._lock = asyncio.Lock()

    @property
    def renewable(self) -> bool:
        """Whether a new token can be fetched."""
        return not isinstance(self._source, str)

    async def current(self) -> str:
        """Return the token to use now. Concurrent calls without a token share one fetch."""
        async with self._lock:
            if self._token is None:
                self._token = await self._fetch()
            return self._token

    def reject(self, token: str | None = None) -> None:
        """Drop this token (None: the current one), which is no longer accepted: the next `current` fetches another."""
        if self.renewable and token in (None, self._token):
            self._token = None

    async def _fetch(self) -> str:
        if isinstance(self._source, str):
            return self._source
        answer = self._source()
        return await answer if inspect.isawaitable(answer) else answer
