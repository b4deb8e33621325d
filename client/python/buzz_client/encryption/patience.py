"""Repeats work that needs the server and the key store, while one of them can't be used."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import aiohttp

from buzz_client.backoff import Backoff
from buzz_client.errors import BuzzError, HttpError

_LOG = logging.getLogger("buzz_client")
_T = TypeVar("_T")
# Of the refusals: request timeout, too early, too many requests.
_PASSING_STATUS = (408, 425, 429)


class Patience:
    """Repeats work, until the session has ended."""

    def __init__(self) -> None:
        self._over: BuzzError | None = None
        self._ended = asyncio.Event()

    def end(self, error: BuzzError) -> None:
        """End the session: whoever waits gets this error."""
        self._over = self._over or error
        self._ended.set()

    async def until(self, event: asyncio.Event) -> None:
        """Wait for an event. Raises the session's error if that comes first."""
        if event.is_set():
            return
        waits = [asyncio.create_task(each.wait()) for each in (event, self._ended)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
        if not event.is_set():
            self._check()

    async def keep_trying(self, work: Callable[[], Awaitable[_T]]) -> _T:
        """Do it again and again while the server can't be reached or asks to wait, or the disk is full.

        Raises other errors at once.
        """
        backoff = Backoff()
        while True:
            try:
                return await work()
            except HttpError as error:
                if error.status < 500 and error.status not in _PASSING_STATUS:
                    raise
                why: Exception = error
            except (aiohttp.ClientError, OSError) as error:
                why = error
            self._check()
            _LOG.info("cannot use the keys now: %s", why)
            await self._pause(backoff.next_seconds())

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        except TimeoutError:
            return

    def _check(self) -> None:
        if self._over is not None:
            raise self._over
