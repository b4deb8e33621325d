"""The access token: a fixed string, or a callable that fetches a fresh one."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

TokenSource = str | Callable[[], str | Awaitable[str]]

FETCH_SECONDS = 30.0


class Tokens:
    """Returns the current token, and fetches a new one when the current is no longer accepted."""

    def __init__(self, source: TokenSource, fetch_seconds: float = FETCH_SECONDS) -> None:
        self._source = source
        self._fetch_seconds = fetch_seconds
        self._token = source if isinstance(source, str) else None
        self._lock = asyncio.Lock()

    @property
    def renewable(self) -> bool:
        """Whether a new token can be fetched."""
        return not isinstance(self._source, str)

    async def current(self) -> str:
        """Return the token to use now. Concurrent calls without a token share one fetch.

        Raises what the callable raises; TimeoutError if it has returned none in 30 seconds.
        """
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
        if not inspect.isawaitable(answer):
            return answer
        late = asyncio.timeout(self._fetch_seconds)
        try:
            async with late:
                return await answer
        except TimeoutError:
            if not late.expired():
                raise
            raise TimeoutError(f"the token callable has returned none in {self._fetch_seconds:g} s") from None
